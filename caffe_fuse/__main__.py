"""`python -m caffe_fuse`."""

from .cli import console

if __name__ == "__main__":
    console()
