"""Videos: reading, fusing frame by frame, writing. Imports PyAV only where a video is opened."""

from __future__ import annotations

from fusekit.video.inspection import VideoInfo, inspect_video
from fusekit.video.video_fusion import NO_SOUND, VIDEO_SUFFIXES, VideoResult, fuse_videos

__all__ = ["NO_SOUND", "VIDEO_SUFFIXES", "VideoInfo", "VideoResult", "fuse_videos", "inspect_video"]
