from lab.keys import JwsKeys


def test_a_key_of_jws_tokens_is_replaced_and_the_former_one_stays_until_it_is_retired(tmp_path):
    keys = JwsKeys(tmp_path / "jws")
    keys.ensure()
    keys.ensure()
    [first] = keys.public.iterdir()
    private = (keys.private / "private.pem").read_bytes()
    keys.replace()
    assert len(list(keys.public.iterdir())) == 2
    assert (keys.private / "private.pem").read_bytes() != private
    keys.retire()
    [second] = keys.public.iterdir()
    assert second.name != first.name
    keys.replace()
    assert len(list(keys.public.iterdir())) == 2
