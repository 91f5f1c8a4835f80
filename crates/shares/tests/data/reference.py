"""Makes reference.json: pip install shamir-mnemonic==0.3.0, then: python3 reference.py > reference.json

The random source is replaced by SHA-256(0) || SHA-256(1) || ..., the counter as eight bytes, most significant first, so that
another implementation that asks for as many bytes in the same order has to print the same words.
"""

import hashlib
import json

from shamir_mnemonic import shamir


def stream():
    counter = 0
    while True:
        yield from hashlib.sha256(counter.to_bytes(8, "big")).digest()
        counter += 1


CASES = [
    # secret's bytes, passphrase, exponent, extendable, group threshold, groups
    (16, "", 0, True, 1, [(1, 1)]),
    (16, "", 0, False, 1, [(2, 3)]),
    (32, "", 1, True, 1, [(2, 3)]),
    (32, "correct horse battery staple", 2, False, 1, [(3, 5)]),
    (32, " ~!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}", 0, True, 1, [(16, 16)]),
    (18, "a", 0, False, 1, [(2, 16)]),
    (20, "b", 1, True, 2, [(1, 1), (2, 2)]),
    (22, "c", 0, True, 3, [(1, 1), (2, 5), (3, 3), (5, 9)]),
    (64, "d" * 100, 0, True, 16, [(2, 2)] * 16),
    (64, "", 0, False, 1, [(1, 1)] * 16),
    (48, "e", 0, True, 2, [(3, 5), (1, 1), (1, 1)]),
    (32, "TREZOR", 2, False, 2, [(2, 3), (3, 4), (4, 7)]),
]

made = []
for number, (length, passphrase, exponent, extendable, threshold, groups) in enumerate(CASES):
    source = stream()
    shamir.RANDOM_BYTES = lambda count: bytes(next(source) for _ in range(count))
    secret = hashlib.shake_256(b"secret %d" % number).digest(length)
    shares = shamir.generate_mnemonics(threshold, groups, secret, passphrase.encode(), extendable, exponent)
    made.append(
        {
            "secret": secret.hex(),
            "passphrase": passphrase,
            "exponent": exponent,
            "extendable": extendable,
            "group_threshold": threshold,
            "groups": groups,
            "shares": shares,
        }
    )
print(json.dumps(made, indent=1))
