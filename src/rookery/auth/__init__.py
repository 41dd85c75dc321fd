"""Who is let in and what they may do: the adapters behind ``Authenticator`` and ``Authorizer``."""
