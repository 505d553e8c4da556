"""The pages that a run and the history are drawn as."""
