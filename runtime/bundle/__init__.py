"""Bundles: the signed archives that developers ship. Read in memory, never extracted; every byte of them is hostile."""

from runtime.bundle.archive import InflateBudget
from runtime.bundle.bundle import Bundle, Member
from runtime.bundle.keyring import Keyring, TrustedKey, check_policy
from runtime.bundle.keys import PublicKey
from runtime.bundle.manifest import Icon, Manifest, Permission, PlatformVersion, Program, Version
from runtime.bundle.packer import bundle_folder, pack, pack_contents, sign
from runtime.bundle.signature import Claim, Signature
from runtime.bundle.signing_key import SigningKey

__all__ = [
    "Bundle",
    "Claim",
    "Icon",
    "InflateBudget",
    "Keyring",
    "Manifest",
    "Member",
    "Permission",
    "PlatformVersion",
    "Program",
    "PublicKey",
    "Signature",
    "SigningKey",
    "TrustedKey",
    "Version",
    "bundle_folder",
    "check_policy",
    "pack",
    "pack_contents",
    "sign",
]
