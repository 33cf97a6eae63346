"""The online service: loads a bundle and answers requests. It knows numpy and ONNX Runtime, and never torch."""
