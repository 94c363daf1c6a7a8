"""The code of the two documents that aio-alf was published with, kept as it is printed there.

Data: it is run by the tests, and never changed to make them pass.
"""

from __future__ import annotations

__all__ = ("FIRST", "IMPLICIT", "SECOND")

#: "Initialize the client and use it as a AsyncHTTPClient object."
FIRST = """\
from aioalf.client import Client
from aioalf.httpclient import HTTPRequest

client = Client(
    token_endpoint='http://example.com/token',
    client_id='client-id',
    client_secret='secret')

resource_uri = 'http://example.com/resource'

response = await client.request(
    'POST',
    resource_uri,
    data='{"name": "alf"}',
    headers={'Content-Type': 'application/json'}
)
"""

#: "Alternatively one can pass directly a string to the fetch client": it goes on from the first.
SECOND = """\
# ...
response = await client.request(
    'POST',
    'http://example.com/resource',
    data='{"name": "alf"}',
    headers={'Content-Type': 'application/json'}
)
"""

#: "Support for OAuth2 implict flow": the names it uses are imported by the reader.
IMPLICIT = """\
await use_implicit_flow(TokenStorage(), (30000, 30009))

async with Client(token_endpoint='https://token.endpoint',
                  client_id='glBQ3nYU/8/kaVi/bIgXGA==',
                  client_secret='') as client:
    response = await client.request('GET', 'http://example.com/resource')
    text = await response.text()
    print(response.status)
"""
