"""What is not collected here: a peer that runs in an environment of its own."""

collect_ignore = ["peer_pytorch.py"]
