"""Who may come in, and for how long.

| module | content |
|---|---|
| `people` | roles, and a person |
| `logins` | the file of logins: names, roles, and slow hashes of tokens |
| `sessions` | who is signed in; the key of an auditor, for a quarter of an hour |
| `attempts` | how often an address or a name may guess |
| `oidc` | sign-in at an identity provider |
| `forgery` | whether a request that changes something comes from a page of the console |
"""
