"""The router against a list of subscriptions and the definition of matching."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from rookery.routing.router import Router
from rookery.routing.subscriber import Subscriber, Subscription
from tests.support.subscribers import FakeSession

LEVELS = st.sampled_from(["a", "b", "", "$s"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = st.one_of(
    TOPICS,
    st.builds(
        lambda levels, end: "/".join([*levels, *end]),
        st.lists(LEVELS | st.just("+"), min_size=0, max_size=3),
        st.sampled_from([["#"], ["+"], ["a"]]),
    ),
)
SHARES = st.sampled_from([None, None, "g", "h"])


def naive_match(topic_filter: list[str], topic: list[str]) -> bool:
    """The definition of matching, level by level. (MQTT 5.0, 4.7)"""
    if topic_filter == ["#"]:
        return True
    if not topic_filter or not topic:
        return not topic_filter and not topic
    if topic_filter[0] not in ("+", topic[0]):
        return False
    if len(topic) == 1 and topic_filter[1:] == ["#"]:
        return True
    return naive_match(topic_filter[1:], topic[1:])


def naive(topic_filter: str, topic: str) -> bool:
    if topic[0] == "$" and topic_filter[0] in "+#":
        return False
    return naive_match(topic_filter.split("/"), topic.split("/"))


class RouterMachine(RuleBasedStateMachine):
    sessions = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        self.router = Router()
        self.granted: dict[tuple[Subscriber, str, str | None], Subscription] = {}
        self.topics: set[str] = {"a", "a/b", "/", "$s/a"}

    @rule(target=sessions)
    def session_begins(self):
        return FakeSession("c")

    @rule(
        session=sessions,
        subscription=st.builds(
            Subscription,
            FILTERS,
            st.integers(0, 2),
            no_local=st.booleans(),
            retain_as_published=st.booleans(),
            identifier=st.integers(0, 4),
        ),
        share=SHARES,
    )
    def subscribe(self, session, subscription, share):
        key = (session, subscription.topic_filter, share)
        assert self.router.subscribe(session, subscription, share) == (key not in self.granted)
        self.granted[key] = subscription

    @rule(session=sessions, topic_filter=FILTERS, share=SHARES)
    def unsubscribe(self, session, topic_filter, share):
        self.leave((session, topic_filter, share))

    @rule(data=st.data())
    def unsubscribe_what_is_there(self, data):
        if self.granted:
            self.leave(data.draw(st.sampled_from(list(self.granted))))

    @rule(session=sessions)
    def session_ends(self, session):
        for key in [key for key in self.granted if key[0] is session]:
            self.leave(key)

    def leave(self, key):
        assert self.router.unsubscribe(*key) == (key in self.granted)
        self.granted.pop(key, None)

    @rule(topic=TOPICS)
    def ask_for_another_topic(self, topic):
        self.topics.add(topic)

    @invariant()
    def every_topic_reaches_whom_it_should(self):
        for topic in self.topics:
            self.check(topic)
        assert self.router.subscription_count == len(self.granted)
        assert self.router.filter_count == len({key[1] for key in self.granted})
        assert self.router.share_count == sum(key[2] is not None for key in self.granted)

    def check(self, topic):
        own: dict[Subscriber, list[Subscription]] = {}
        shared: dict[str, set[Subscriber]] = {}
        for (session, topic_filter, share), subscription in self.granted.items():
            if not naive(topic_filter, topic):
                continue
            if share is None:
                own.setdefault(session, []).append(subscription)
            else:
                shared.setdefault(f"$share/{share}/{topic_filter}", set()).add(session)
        matches = self.router.match(topic)
        recipients = {each.subscriber: each for each in matches.recipients}
        assert len(recipients) == len(matches.recipients)
        assert recipients.keys() == own.keys()
        for session, granted in own.items():
            recipient = recipients[session]
            assert recipient.qos_max == max(each.qos_max for each in granted)
            assert recipient.no_local == any(each.no_local for each in granted)
            for_own = [each for each in granted if not each.no_local]
            own = recipient.own if recipient.no_local else recipient
            assert (own is None) == (not for_own)
            if own is not None:
                assert own.qos_max == max(each.qos_max for each in for_own)
                assert own.identifiers == identifiers_of(for_own)
            assert recipient.retain_as_published == any(
                each.retain_as_published for each in granted
            )
            assert recipient.identifiers == identifiers_of(granted)
        groups = {each.key: each for each in matches.shares}
        assert len(groups) == len(matches.shares)
        assert groups.keys() == shared.keys()
        for key, members in shared.items():
            turns = [groups[key].pick(0).subscriber for _ in members]
            assert set(turns) == members


def identifiers_of(subscriptions):
    return tuple(sorted(each.identifier for each in subscriptions if each.identifier))


TestRouter = RouterMachine.TestCase
TestRouter.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
