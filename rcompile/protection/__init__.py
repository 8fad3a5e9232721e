"""What guards against stuck cells: predictions, and replicas within the dense model's crossbars."""
