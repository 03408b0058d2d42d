"""LangGraph state machines: one turn of the conversation (``turn.py``)."""
