"""The doors: HTTP API, live stream, console files, sign-in.

Rules: every answer under `/api/v1` needs a session or the data folder's key; a changing call needs
the header `X-Lineshaft`, which no foreign page can send; the Host header must name this machine.
"""
