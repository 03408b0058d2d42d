"""What is kept between turns: media and hidden states by the hash of their bytes.

artifacts.py   the content-addressed store
"""
