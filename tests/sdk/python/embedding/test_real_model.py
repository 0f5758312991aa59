"""Calls that ride together to a real model get the vectors that they would have got alone."""

import json
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen

import numpy as np

SUBJECTS = ["The cat", "A small kitten", "The central bank", "An old steam engine", "My grandmother", "Nobody"]
ENDS = ["sleeps on the warm sofa.", "raised its rates again, to everybody's surprise.", "is late.", "sang."]
TEXTS = [f"{subject} {end}" for subject in SUBJECTS for end in ENDS]


def test_joined_and_single_calls_give_equal_vectors_and_their_usage_adds_up(target, client):
    model, server = target.asks["embed"]

    def asked():
        return json.load(urlopen(server))["asked"]

    def embed(text):
        answer = client.embeddings.create(model=model, input=[text])
        return np.array(answer.data[0].embedding), answer.usage.prompt_tokens

    single = [embed(text) for text in TEXTS]
    assert asked() == len(TEXTS)
    with ThreadPoolExecutor(len(TEXTS)) as clients:
        joined = list(clients.map(embed, TEXTS))
    assert asked() < 2 * len(TEXTS), "no two calls were joined"

    for text, (alone, _), (together, _) in zip(TEXTS, single, joined):
        # Sums of a padded batch are taken in another order.
        np.testing.assert_allclose(together, alone, atol=1e-5, err_msg=text)
    assert sum(tokens for _, tokens in joined) == sum(tokens for _, tokens in single)

    # The model is a real one: what means the same is near.
    cat, kitten, bank = (single[at * len(ENDS)][0] for at in range(3))
    assert cat @ kitten > cat @ bank + 0.1
