"""`python -m caffe_fuse`."""

from .cli.process import console

if __name__ == "__main__":
    console()
