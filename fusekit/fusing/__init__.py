"""Fusion of images: files, folders, arrays, tensors and streams of frames."""
