"""The official Python SDK against a real `hayloft ledger`: what differs from the JavaScript SDK's way of asking.

Run by `./dev test`; by hand: `python tests/ledger/smoke.py target/debug/hayloft` where stellar-sdk is installed.
"""

import json
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.request

from stellar_sdk import Asset, ClaimPredicate, Claimant, Keypair, Server, TransactionBuilder, TransactionEnvelope
from stellar_sdk.exceptions import BadRequestError, NotFoundError

HAYLOFT = sys.argv.pop(1)


class Ledger(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.TemporaryDirectory()
        words = [HAYLOFT, "--home", cls.home.name, "--json", "ledger", "--close-every", "100", "--until-stdin-closes"]
        cls.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ready = json.loads(cls.process.stdout.readline())
        cls.passphrase = ready["passphrase"]
        cls.url = ready["ledger"]
        cls.server = Server(cls.url)

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        cls.process.stdin.close()
        cls.process.wait()
        cls.process.stdout.close()
        cls.home.cleanup()

    def friend(self):
        keys = Keypair.random()
        urllib.request.urlopen(f"{self.url}/friendbot?addr={keys.public_key}").read()
        return keys

    def build(self, keys, *operations):
        account = self.server.load_account(keys.public_key)
        builder = TransactionBuilder(account, self.passphrase, base_fee=self.server.fetch_base_fee())
        for operation in operations:
            getattr(builder, operation[0])(*operation[1:])
        envelope = builder.set_timeout(60).build()
        envelope.sign(keys)
        return envelope

    def pay(self, keys, to, amount):
        return self.server.submit_transaction(self.build(keys, ("append_payment_op", to.public_key, Asset.native(), amount)))

    def balance(self, keys):
        return self.server.accounts().account_id(keys.public_key).call()["balances"][0]["balance"]

    def test_a_payment_moves_lumens_and_is_listed_for_both(self):
        one, other = self.friend(), self.friend()
        answer = self.pay(one, other, "12.5")
        self.assertTrue(answer["successful"])
        self.assertEqual((self.balance(one), self.balance(other)), ("9987.4999900", "10012.5000000"))
        for who in (one, other):
            page = self.server.payments().for_account(who.public_key).order(desc=True).limit(1).call()
            (record,) = page["_embedded"]["records"]
            self.assertEqual((record["amount"], record["transaction_hash"]), ("12.5000000", answer["hash"]))
        self.assertEqual(self.server.transactions().transaction(answer["hash"]).call()["source_account"], one.public_key)

    def test_refusals_carry_their_codes(self):
        one = self.friend()
        with self.assertRaises(NotFoundError):
            self.server.load_account(Keypair.random().public_key)
        with self.assertRaises(BadRequestError) as refused:
            self.server.submit_transaction(self.build(one, ("append_create_account_op", Keypair.random().public_key, "0.5")))
        codes = refused.exception.extras["result_codes"]
        self.assertEqual(codes, {"transaction": "tx_failed", "operations": ["op_low_reserve"]})

    def test_the_identical_envelope_again_gives_the_same_answer(self):
        one, other = self.friend(), self.friend()
        envelope = self.build(one, ("append_payment_op", other.public_key, Asset.native(), "1"))
        again = TransactionEnvelope.from_xdr(envelope.to_xdr(), self.passphrase)
        self.assertEqual(self.server.submit_transaction(envelope), self.server.submit_transaction(again))

    def test_a_claimable_balance_is_listed_and_claimed(self):
        one, other = self.friend(), self.friend()
        claimants = [Claimant(other.public_key, ClaimPredicate.predicate_before_relative_time(3600))]
        self.server.submit_transaction(self.build(one, ("append_create_claimable_balance_op", Asset.native(), "5", claimants)))
        (record,) = self.server.claimable_balances().for_claimant(other.public_key).call()["_embedded"]["records"]
        self.assertEqual((record["amount"], record["sponsor"]), ("5.0000000", one.public_key))
        self.server.submit_transaction(self.build(other, ("append_claim_claimable_balance_op", record["id"])))
        self.assertEqual(self.balance(other), "10004.9999900")
        with self.assertRaises(NotFoundError):
            self.server.claimable_balances().claimable_balance(record["id"]).call()

    def test_a_fee_bump_is_paid_by_another(self):
        one, payer = self.friend(), self.friend()
        inner = self.build(one, ("append_bump_sequence_op", 0))
        bump = TransactionBuilder.build_fee_bump_transaction(payer, 200, inner, self.passphrase)
        bump.sign(payer)
        answer = self.server.submit_transaction(bump)
        self.assertEqual((answer["fee_account"], answer["fee_charged"]), (payer.public_key, "200"))
        self.assertEqual(self.balance(one), "10000.0000000")

    def test_a_stream_tells_what_was_and_what_comes(self):
        one, other = self.friend(), self.friend()
        heard = []

        def listen():
            for record in self.server.payments().for_account(other.public_key).cursor("0").stream():
                heard.append(record["type"])
                if len(heard) == 1:
                    first.set()
                else:
                    return

        first = threading.Event()
        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        self.assertTrue(first.wait(30))
        self.pay(one, other, "3")
        listener.join(30)
        self.assertEqual(heard, ["create_account", "payment"])


unittest.main()
