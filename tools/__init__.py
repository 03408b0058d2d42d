"""LangChain tools, each usable alone.

calculate.py   arithmetic within bounds
"""
