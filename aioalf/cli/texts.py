"""What the help says."""

from __future__ import annotations

__all__ = (
    "DEMO",
    "DESCRIPTION",
    "LOGIN",
    "LOGIN_EXAMPLES",
    "LOGOUT",
    "MAIN_EXAMPLES",
    "NOTES",
    "REQUEST_EXAMPLES",
    "TOKEN_EXAMPLES",
)

DESCRIPTION = "An OAuth 2 client: gets a token, its own or a person's, and sends requests\nwith it."

NOTES = """\
There is no option for the client secret, because every user of the machine can
read a command line. It is taken from --secret-file FILE, else from
AIOALF_CLIENT_SECRET, else it is asked for, if there is a terminal. With --user,
and for login and logout, a client without a secret is a public one.

environment:
  AIOALF_ISSUER            used if there is no --issuer
  AIOALF_TOKEN_ENDPOINT    used if there is no --token-endpoint
  AIOALF_CLIENT_ID         used if there is no --client-id
  AIOALF_CLIENT_SECRET     the client secret
  AIOALF_CLIENT_AUTH       used if there is no --client-auth
  AIOALF_SCOPE             used if there is no --scope
  AIOALF_PARAM             used if there is no --param; several with spaces
  AIOALF_STORAGE           used if there is no --storage
  HTTP_PROXY, HTTPS_PROXY  the proxy for http and for https URLs
  NO_PROXY                 hosts, with commas, that are asked without a proxy
  NO_COLOR                 no colours in the demo

exit status:
    0  done
    1  there is no token, or it is not revoked (demo: a count is not as claimed)
    2  the command line is wrong, or names a file that cannot be read
    3  the URL gave no answer, or an incomplete one
   22  --fail was given, and the status of the answer is 400 or above
   23  the output cannot be written
   70  a fault of this program
  129  the terminal went away
  130  interrupted
  141  the reader of the output went away
  143  terminated
"""
MAIN_EXAMPLES = """\
examples:
  python -m aioalf demo
  export AIOALF_TOKEN_ENDPOINT=https://login.example.com/token
  export AIOALF_CLIENT_ID=client-id
  python -m aioalf request https://api.example.com/things
  python -m aioalf token --help

"""
REQUEST_EXAMPLES = """\
examples, with the token endpoint and the client id in the environment:
  python -m aioalf request https://api.example.com/things
  python -m aioalf request https://api.example.com/things \\
      --json '{"name": "alf"}' --fail
  python -m aioalf request PUT https://api.example.com/things/1 \\
      --data @thing.csv -H 'Content-Type: text/csv'

"""
TOKEN_EXAMPLES = """\
examples, with the token endpoint and the client id in the environment:
  python -m aioalf token --scope 'read write'
  python -m aioalf token --json | jq .expires_at
  python -m aioalf token | sed 's/^/Authorization: Bearer /' |
      curl -H @- https://api.example.com/things

"""
LOGIN_EXAMPLES = """\
examples:
  python -m aioalf login --issuer https://login.example.com --client-id client-id \\
      --scope 'read offline_access'
  python -m aioalf request --user https://api.example.com/things \\
      --issuer https://login.example.com --client-id client-id \\
      --scope 'read offline_access'
  python -m aioalf logout --issuer https://login.example.com --client-id client-id \\
      --scope 'read offline_access'

"""
LOGIN = """\
Have a person sign in, and keep the token for "token --user", "request --user" and
for programs with the same issuer (or token endpoint), client id, scope, parameters
and account. In a browser on this machine; with --device on any other device.
"""
LOGOUT = """\
Revoke the token of "login", and delete it. It is deleted whatever the server says.
"""
DEMO = """\
Starts an authorization server on loopback, in this process, and shows the life
of a token: fetched, reused, expired, renewed ahead, revoked, shared by a
thousand tasks and by two processes. The server does the counting; the exit
status is 1 if a count is not as claimed.
"""
