"""The fusion engine: images of any size, arrays, tensors and streams of frames."""
