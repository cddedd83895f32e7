#!/usr/bin/env python3
"""Helper of Choria's provisioner: it reads what is known about a node, and writes what becomes of it.

A provisioning token proves no name, so the helper decides which names are given away.
"""
import json
import re
import sys

ISSUER = "a8c5cb4f5ea9dda0a8b3d3e1f0ea7e3a94dc2a8f7d0b6cbf9f2f8b1b5b0f3a11"
BROKER = "nats://collector1.example.net:4222"

node = json.load(sys.stdin)
name = node["identity"]

if not re.fullmatch(r"[a-z0-9-]+\.example\.net", name):
    json.dump({"defer": True, "msg": "unexpected name " + name}, sys.stdout)
    sys.exit()

json.dump({
    "configuration": {
        "identity": name,
        "collectives": "choria",
        "plugin.choria.server.provision": "false",
        "plugin.choria.use_srv": "false",
        "plugin.choria.middleware_hosts": BROKER,
        "plugin.security.provider": "choria",
        "plugin.security.choria.token_file": "/etc/choria/server.jwt",
        "plugin.security.choria.seed_file": "/etc/choria/server.seed",
        "plugin.security.choria.ca": "/etc/choria/ca.pem",
        "plugin.security.issuer.names": "choria",
        "plugin.security.issuer.choria.public": ISSUER,
        "rpcauthprovider": "aaasvc",
        "registration": "file_content",
        "registerinterval": "300",
        "plugin.choria.registration.file_content.data": "/etc/choria/facts.json",
    },
    "server_claims": {"collectives": ["choria"], "permissions": {"submission": True}},
}, sys.stdout)
