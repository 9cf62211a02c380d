"""Keystone drivers for Alliance.

A token provider, a catalog and others that compose the stock ones. Tokens of this cloud never
leave it; a token of a partner cloud is asked about at the local ``alliance`` daemon, and its signed
answer becomes an ordinary Keystone token of a shadow user.
"""
