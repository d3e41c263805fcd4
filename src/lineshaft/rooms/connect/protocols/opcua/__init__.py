"""OPC UA (IEC 62541) on asyncua: discovery, certificates, browsing, following.

`session`, `browse`, `subscribe` and `nodeids` import asyncua, so only the process `connect` imports
them; `pki`, `decode`, `quality` and `units` do without. The rest of the house knows node ids as
text.
"""
