"""What comes in: ONNX models as linears, and texts as their inputs."""
