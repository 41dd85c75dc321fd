from rookery.cluster.refusals import CODES, Reason, Refusal, refusal_in, shown


def test_every_reason_has_a_code():
    assert set(CODES) == set(Reason)


def test_a_refusal_travels_as_the_text_of_a_status():
    sent = Refusal(Reason.OTHER_CLUSTER, "node n1: it is of another")
    got = refusal_in(str(sent))
    assert got is not None
    assert (got.reason, got.detail) == (sent.reason, sent.detail)


def test_other_texts_are_no_refusals():
    assert refusal_in("connection refused") is None
    assert refusal_in("unheard_of: reason") is None
    assert refusal_in("other_cluster") is None


def test_what_another_node_said_is_cut_and_cannot_make_log_lines():
    assert shown("a\nb\x1b[1m") == "a?b?[1m"
    assert len(shown("x" * 10_000)) == 300
