"""Who decides what clients may do, as the configuration asks for it."""

from rookery.auth.rules import Rule, RulesAuthorizer
from rookery.config.models import Config


def make_authorizer(config: Config) -> RulesAuthorizer:
    """Whoever decides what a client may do."""
    authorization = config.authorization
    rules = [
        Rule(
            allow=rule.permission == "allow",
            action=rule.action,
            topic_filter=rule.topic_filter,
            username=rule.username,
            client_id=rule.client_id,
            literal=rule.literal,
        )
        for rule in authorization.rules
    ]
    return RulesAuthorizer(rules, authorization.default == "allow")
