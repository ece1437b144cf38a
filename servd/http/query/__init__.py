"""The query port: reading requests, endpoints, answers. The hot path begins here.

Made by processes. Hands rows to engine and knows wire formats by http/codecs/base.py only. May
import engine, metrics and http/codecs.
"""
