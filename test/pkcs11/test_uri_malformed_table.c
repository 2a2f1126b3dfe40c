/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URIs that are refused, none of them in test_uri.c, and what each error has
 * to say.  Every PIN in them is SECRET, so that the test can see that none is
 * shown.
 */
#include <stddef.h>
#include "test_uri_malformed_table.h"

/* Sixteen, 256 and 2048 characters of any name or value. */
#define A16   "aaaaaaaaaaaaaaaa"
#define A256  A16 A16 A16 A16 A16 A16 A16 A16 A16 A16 A16 A16 A16 A16 A16 A16
#define A2048 A256 A256 A256 A256 A256 A256 A256 A256

#define HASH      "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"
#define SCHEME    "does not begin with \"pkcs11:\""
#define BEFORE    "before the \"?\" stands something that is not NAME=VALUE"
#define BEHIND    "behind the \"?\" stands something that is not NAME=VALUE"
#define EMPTY     "an attribute is empty: there is a "
#define AMPERSAND "in a PIN write %26 for \"&\""
#define ESCAPE    ": \"%\" without two hexadecimal digits"
#define ENCODE    "must be percent-encoded"
#define NUL       ": %00 is not text"
#define UTF8      ": not UTF-8"
#define TYPE      "type: not one of public, private, cert, secret-key, data"
#define SLOT      "slot-id: not a decimal number"
#define VERSION   "library-version: not MAJOR or MAJOR.MINOR"
#define BOTH      "pin-value and pin-source exclude each other"
#define HOLDS     ": holds \"pin-value=\""
#define LONG      ": longer than "
#define NO_FILE   "pin-source is neither \"file:PATH\" on this machine nor an"

const struct uri_malformed uri_malformed[] = {
    /* another scheme, or none: what is pasted, quoted or half remembered */
    { "pkcs11;token=a", SCHEME },
    { "pkcs11 :token=a", SCHEME },
    { " pkcs11:token=a", SCHEME },
    { "pkcs11%3Atoken=a", SCHEME },
    { "pkcs11/token=a", SCHEME },
    { "pkcs-11:token=a", SCHEME },
    { "pkcs#11:token=a", SCHEME },
    { "pkcs1:token=a", SCHEME },
    { "xpkcs11:token=a", SCHEME },
    { "token=a;object=b", SCHEME },
    { "?pin-value=" SECRET, SCHEME },
    { "engine:pkcs11:token=a", SCHEME },
    { "\"pkcs11:token=a\"", SCHEME },
    { "\xEF\xBB\xBFpkcs11:token=a", SCHEME }, /* byte order mark */
    { "pkcs11\xEF\xBC\x9Atoken=a", SCHEME },  /* full-width colon */
    { "pkcs1\xC2\xB9:token=a", SCHEME },      /* superscript one */
    { "p\xD0\xBA"
      "cs11:token=a",
      SCHEME }, /* Cyrillic ka */

    /* parts that other URIs have: authority, path, fragment */
    { "pkcs11://token=a", BEFORE },
    { "pkcs11:/token=a", BEFORE },
    { "pkcs11://user:" SECRET "@host/token=a", BEFORE },
    { "pkcs11:#token=a", BEFORE },
    { "pkcs11:#", BEFORE },
    { "pkcs11:object=a#fragment", "object: all but letters" },
    { "pkcs11:token=a;#object=b", BEFORE },
    { "pkcs11:?module-name=a#fragment", "module-name: all but letters" },
    { "pkcs11:?#module-name=a", BEHIND },
    { "pkcs11:?pin-value=" SECRET "#fragment", "pin-value: all but letters" },
    { "pkcs11:pkcs11:token=a", BEFORE },

    /* the wrong side of the "?", or a "?" in the wrong place */
    { "pkcs11:?token=a", "token: belongs before the \"?\"" },
    { "pkcs11:?manufacturer=a", "manufacturer: belongs before the" },
    { "pkcs11:?serial=1", "serial: belongs before the" },
    { "pkcs11:?model=a", "model: belongs before the" },
    { "pkcs11:?library-manufacturer=a", "library-manufacturer: belongs" },
    { "pkcs11:?library-description=a", "library-description: belongs" },
    { "pkcs11:?library-version=1", "library-version: belongs before" },
    { "pkcs11:?type=private", "type: belongs before the" },
    { "pkcs11:?id=%01", "id: belongs before the" },
    { "pkcs11:?slot-manufacturer=a", "slot-manufacturer: belongs before" },
    { "pkcs11:?slot-description=a", "slot-description: belongs before" },
    { "pkcs11:?slot-id=1", "slot-id: belongs before the" },
    { "pkcs11:?module-name=m&object=a", "object: belongs before the" },
    { "pkcs11:pin-value=" SECRET, "pin-value: belongs behind the \"?\"" },
    { "pkcs11:object=a;pin-source=file:/a", "pin-source: belongs behind" },
    { "pkcs11:module-path=/a", "module-path: belongs behind the" },
    { "pkcs11:token=a;module-path", "module-path: belongs behind the" },
    { "pkcs11:token=a??module-name=m", BEHIND },
    { "pkcs11:token?=a", "token: has no \"=\"" },
    { "pkcs11:?module-name?=a", BEHIND },

    /* separators and "=" */
    { "pkcs11:;;", EMPTY "\";\" too many" },
    { "pkcs11:;?", EMPTY "\";\" too many" },
    { "pkcs11:object=a;;;id=%01", EMPTY "\";\" too many" },
    { "pkcs11:?&", EMPTY "\"&\" too many" },
    { "pkcs11:token=a?&", EMPTY "\"&\" too many" },
    { "pkcs11:?pin-source=/a&&module-name=b", EMPTY "\"&\" too many" },
    { "pkcs11:?;", BEHIND },
    { "pkcs11:?;module-name=a", BEHIND },
    { "pkcs11:&token=a", BEFORE },
    { "pkcs11:token:a", BEFORE },
    { "pkcs11:token%3Da", BEFORE },
    { "pkcs11:token=a;object:b", BEFORE },
    { "pkcs11:token=a; object=b", BEFORE },
    { "pkcs11:token =a", BEFORE },
    { "pkcs11:token=a;=b", BEFORE },
    { "pkcs11:==", BEFORE },
    { "pkcs11:token\n=a", BEFORE },
    { "pkcs11:*", BEFORE },
    { "pkcs11:\"token=a\"", BEFORE },
    { "pkcs11:token=a;\xC3\xB6"
      "bject=b",
      BEFORE },
    { "pkcs11:token=a;b\xFF=c", BEFORE },
    { "pkcs11:object;token=a", "object: has no \"=\"" },
    { "pkcs11:id", "id: has no \"=\"" },
    { "pkcs11:slot-id;type", "slot-id: has no \"=\"" },
    { "pkcs11:?module-path", "module-path: has no \"=\"" },
    { "pkcs11:?pin-source", "pin-source: has no \"=\"" },
    { "pkcs11:?" SECRET, BEHIND },
    { "pkcs11:?module-name=a;pin-value=" SECRET, "module-name" HOLDS },
    { "pkcs11:?module-name=m?module-path=/a;b", "module-name: all but" },

    /* given twice, also where the values or their spellings are the same */
    { "pkcs11:token=a;token=%61", "token: given twice" },
    { "pkcs11:manufacturer=a;manufacturer=b", "manufacturer: given twice" },
    { "pkcs11:serial=1;token=a;serial=2", "serial: given twice" },
    { "pkcs11:model=;model=a", "model: given twice" },
    { "pkcs11:library-manufacturer=a;library-manufacturer=a", "given twice" },
    { "pkcs11:library-description=a;library-description=b", "given twice" },
    { "pkcs11:library-version=2.40;library-version=2.40", "given twice" },
    { "pkcs11:object=a;id=%01;object=b", "object: given twice" },
    { "pkcs11:id=;id=", "id: given twice" },
    { "pkcs11:type=private;type=public", "type: given twice" },
    { "pkcs11:slot-manufacturer=a;slot-manufacturer=b", "given twice" },
    { "pkcs11:slot-description=a;slot-description=b", "given twice" },
    { "pkcs11:slot-id=1;slot-id=01", "slot-id: given twice" },
    { "pkcs11:?module-path=/a&module-path=/a", "module-path: given twice" },
    { "pkcs11:?pin-value=" SECRET "&module-name=a&pin-value=" SECRET,
      "pin-value: given twice" },
    { "pkcs11:?pin-source=/a&module-name=b&pin-source=/c",
      "pin-source: given twice" },

    /* misspelt, from other programs, or a vendor's */
    { "pkcs11:toke=a", "\"toke\", did you mean \"token\"?" },
    { "pkcs11:tokens=a", "\"tokens\", did you mean \"token\"?" },
    { "pkcs11:TOKEN=a", "\"TOKEN\", did you mean \"token\"?" },
    { "pkcs11:obejct=a", "\"obejct\", did you mean \"object\"?" },
    { "pkcs11:objects=a", "\"objects\", did you mean \"object\"?" },
    { "pkcs11:lable=a", "unknown attribute \"lable\"" },
    { "pkcs11:key=a", "unknown attribute \"key\"" },
    { "pkcs11:slot_id=1", "\"slot_id\", did you mean \"slot-id\"?" },
    { "pkcs11:slot=1", "unknown attribute \"slot\"" },
    { "pkcs11:typ=private", "\"typ\", did you mean \"type\"?" },
    { "pkcs11:modle=a", "\"modle\", did you mean \"model\"?" },
    { "pkcs11:serial-number=1", "unknown attribute \"serial-number\"" },
    { "pkcs11:manufaturer=a", "did you mean \"manufacturer\"?" },
    { "pkcs11:libary-version=1", "did you mean \"library-version\"?" },
    { "pkcs11:library_description=a", "did you mean \"library-description\"" },
    { "pkcs11:token=a;CKA_ID=1", "unknown attribute \"CKA_ID\"" },
    { "pkcs11:x-vendor-key=a;object=b", "unknown attribute \"x-vendor-key\"" },
    { "pkcs11:aws-cluster-id=a", "unknown attribute \"aws-cluster-id\"" },
    { "pkcs11:token=a;x-flag", "unknown attribute \"x-flag\"" },
    { "pkcs11:?pin_value=" SECRET,
      "\"pin_value\", did you mean \"pin-value\"" },
    { "pkcs11:?PIN-VALUE=" SECRET,
      "\"PIN-VALUE\", did you mean \"pin-value\"" },
    { "pkcs11:?pin=" SECRET, "unknown attribute \"pin\"" },
    { "pkcs11:?pinsource=/a", "\"pinsource\", did you mean \"pin-source\"?" },
    { "pkcs11:?modul-path=/a", "\"modul-path\", did you mean \"module-path\"" },
    { "pkcs11:?x-vendor-flag=1", "unknown attribute \"x-vendor-flag\"" },
    { "pkcs11:" A16 A16 "a=b", BEFORE }, /* too long to be a misspelling */

    /* broken percent escapes; the characters beside each range of digits */
    { "pkcs11:object=%", "object" ESCAPE },
    { "pkcs11:object=a%2", "object" ESCAPE },
    { "pkcs11:id=%", "id" ESCAPE },
    { "pkcs11:id=%0", "id" ESCAPE },
    { "pkcs11:id=%01%", "id" ESCAPE },
    { "pkcs11:id=%01%0;object=a", "id" ESCAPE },
    { "pkcs11:id=%%01", "id" ESCAPE },
    { "pkcs11:id=%/0", "id" ESCAPE },
    { "pkcs11:id=%0:", "id" ESCAPE },
    { "pkcs11:id=%@0", "id" ESCAPE },
    { "pkcs11:id=%0G", "id" ESCAPE },
    { "pkcs11:id=%`0", "id" ESCAPE },
    { "pkcs11:id=%0g", "id" ESCAPE },
    { "pkcs11:id=%-1", "id" ESCAPE },
    { "pkcs11:id=%+1", "id" ESCAPE },
    { "pkcs11:id=%\xC3\xA4", "id" ESCAPE },
    { "pkcs11:object=%u0041", "object" ESCAPE },
    { "pkcs11:object=100%;id=%01", "object" ESCAPE },
    { "pkcs11:serial=%1?module-name=a", "serial" ESCAPE },
    { "pkcs11:model=%x1", "model" ESCAPE },
    { "pkcs11:manufacturer=%%", "manufacturer" ESCAPE },
    { "pkcs11:library-description=%?", "library-description" ESCAPE },
    { "pkcs11:slot-manufacturer=%=41", "slot-manufacturer" ESCAPE },
    { "pkcs11:?module-name=%s", "module-name" ESCAPE },
    { "pkcs11:?module-path=/%n", "module-path" ESCAPE },
    { "pkcs11:?pin-source=file:/%", "pin-source" ESCAPE },
    { "pkcs11:?pin-value=%" SECRET, "pin-value" ESCAPE },
    { "pkcs11:?pin-value=" SECRET "%2", "pin-value" ESCAPE },

    /* characters that must be escaped, and bytes that are no ASCII */
    { "pkcs11:object=a b", "object: all but letters" },
    { "pkcs11:object=<a>", ENCODE },
    { "pkcs11:object=a^b", ENCODE },
    { "pkcs11:object=`a`", ENCODE },
    { "pkcs11:object={a}", ENCODE },
    { "pkcs11:object=a\tb", ENCODE },
    { "pkcs11:object=a\r", ENCODE },
    { "pkcs11:object=a\x01", ENCODE },
    { "pkcs11:object=\x1B[31m", ENCODE },
    { "pkcs11:object=K\xC3\xB6ln", "object: all but letters" },
    { "pkcs11:object=K\xF6ln", "object: all but letters" }, /* Latin-1 */
    { "pkcs11:object=\xF0\x9F\x94\x91", "object: all but letters" },
    { "pkcs11:object=a\xC2\xA0"
      "b",
      ENCODE }, /* no-break space */
    { "pkcs11:serial=1\n", "serial: all but letters" },
    { "pkcs11:id=\x01", "id: all but letters" },
    { "pkcs11:id=\xFF\xFE", "id: all but letters" },
    { "pkcs11:?module-name=a b", "module-name: all but letters" },
    { "pkcs11:?module-path=/opt/caf\xC3\xA9.so", "module-path: all but" },
    { "pkcs11:?pin-source=/a b", "pin-source: all but letters" },
    { "pkcs11:?pin-value=" SECRET "\n", "pin-value: all but letters" },
    { "pkcs11:?pin-value=" SECRET "\xA3", "pin-value: all but letters" },
    { "pkcs11:?pin-value=" SECRET ";object=a", "pin-value: all but letters" },

    /* NUL and what is not UTF-8 */
    { "pkcs11:serial=%00", "serial" NUL },
    { "pkcs11:model=a%00", "model" NUL },
    { "pkcs11:manufacturer=%00a", "manufacturer" NUL },
    { "pkcs11:library-manufacturer=a%00b", "library-manufacturer" NUL },
    { "pkcs11:library-description=%00", "library-description" NUL },
    { "pkcs11:slot-manufacturer=%00", "slot-manufacturer" NUL },
    { "pkcs11:slot-description=a%00", "slot-description" NUL },
    { "pkcs11:?module-name=a%00", "module-name" NUL },
    { "pkcs11:?pin-value=" SECRET "%00" SECRET, "pin-value" NUL },
    { "pkcs11:object=%FE%FF%00a", "object" NUL }, /* UTF-16 */
    { "pkcs11:object=%C1%BF", "object" UTF8 },
    { "pkcs11:object=%E0%80%80", "object" UTF8 },
    { "pkcs11:object=%F0%80%80%80", "object" UTF8 },
    { "pkcs11:object=%ED%A0%BD%ED%B8%80", "object" UTF8 }, /* CESU-8 */
    { "pkcs11:object=%ED%BF%BF", "object" UTF8 },
    { "pkcs11:object=%F5%80%80%80", "object" UTF8 },
    { "pkcs11:object=%F8%88%80%80%80", "object" UTF8 },
    { "pkcs11:object=%FE", "object" UTF8 },
    { "pkcs11:object=a%BF", "object" UTF8 },
    { "pkcs11:object=%C3%C3%A9", "object" UTF8 },
    { "pkcs11:object=%F0%90%28%BC", "object" UTF8 },
    { "pkcs11:object=K%F6ln", "object" UTF8 }, /* Latin-1 */
    { "pkcs11:model=%C3%A9%C3", "model" UTF8 },
    { "pkcs11:?module-path=/%FF", "module-path" UTF8 },
    { "pkcs11:?pin-source=/%80", "pin-source" UTF8 },
    { "pkcs11:?pin-value=" SECRET "%C3", "pin-value" UTF8 },

    /* longer than what they are compared with, or than anything needs */
    { "pkcs11:token=" A16 A16 "b", "token" LONG "32 bytes" },
    { "pkcs11:token=%C3%A9" A16 "%E2%82%AC" A16, "token" LONG "32 bytes" },
    { "pkcs11:manufacturer=" A256, "manufacturer" LONG "32 bytes" },
    { "pkcs11:serial=00000000000000000", "serial" LONG "16 bytes" },
    { "pkcs11:model=" A16 "%20", "model" LONG "16 bytes" },
    { "pkcs11:slot-description=" A16 A16 A16 A16 "%00",
      "slot-description" LONG },
    { "pkcs11:?pin-value=" SECRET A256 A256 A256 A256, "pin-value" LONG },
    { "pkcs11:object=" A2048 A2048 A2048 A2048, "longer than 8192 bytes" },
    { "pkcs11:?pin-value=" SECRET A2048 A2048 A2048 A2048,
      "longer than 8192 bytes" },
    { "pkcs11:" A2048 "=a", BEFORE },

    /* types */
    { "pkcs11:type=PRIVATE", TYPE },
    { "pkcs11:type=private-key", TYPE },
    { "pkcs11:type=certificate", TYPE },
    { "pkcs11:type=pubkey", TYPE },
    { "pkcs11:type=secret", TYPE },
    { "pkcs11:type=3", TYPE },
    { "pkcs11:type=*", TYPE },
    { "pkcs11:type=private,public", TYPE },
    { "pkcs11:type= private", TYPE },
    { "pkcs11:type=private%00", TYPE },
    { "pkcs11:type=privat\xD0\xB5", TYPE }, /* Cyrillic ie */
    { "pkcs11:type=data=", TYPE },
    { "pkcs11:type=" A2048, TYPE },

    /* slot-ids */
    { "pkcs11:slot-id=a", SLOT },
    { "pkcs11:slot-id=1a", SLOT },
    { "pkcs11:slot-id=0X10", SLOT },
    { "pkcs11:slot-id=1e3", SLOT },
    { "pkcs11:slot-id=1.0", SLOT },
    { "pkcs11:slot-id=1,000", SLOT },
    { "pkcs11:slot-id= 1", SLOT },
    { "pkcs11:slot-id=1 ", SLOT },
    { "pkcs11:slot-id=\t1", SLOT },
    { "pkcs11:slot-id=-0", SLOT },
    { "pkcs11:slot-id=-18446744073709551615", SLOT },
    { "pkcs11:slot-id=*", SLOT },
    { "pkcs11:slot-id=1%30", SLOT },
    { "pkcs11:slot-id=\xD9\xA1", SLOT }, /* Arabic one */
    { "pkcs11:slot-id=36893488147419103233", SLOT },
    { "pkcs11:slot-id=1" A16, SLOT },
    { "pkcs11:slot-id=1&type=private", SLOT },

    /* library-versions */
    { "pkcs11:library-version=.", VERSION },
    { "pkcs11:library-version=1..2", VERSION },
    { "pkcs11:library-version=-1", VERSION },
    { "pkcs11:library-version=1.-1", VERSION },
    { "pkcs11:library-version=+1.0", VERSION },
    { "pkcs11:library-version=1.+0", VERSION },
    { "pkcs11:library-version=1. 0", VERSION },
    { "pkcs11:library-version=1,0", VERSION },
    { "pkcs11:library-version=1.0a", VERSION },
    { "pkcs11:library-version=1.0x1", VERSION },
    { "pkcs11:library-version=1%2E0", VERSION },
    { "pkcs11:library-version=256.0", VERSION },
    { "pkcs11:library-version=18446744073709551617", VERSION },
    { "pkcs11:library-version=1.18446744073709551617", VERSION },
    { "pkcs11:library-version=*", VERSION },

    /* pinned keys */
    { "pkcs11:spki-sha256=" HASH, "spki-sha256: belongs behind the" },
    { "pkcs11:?spki-sha256", "spki-sha256: has no \"=\"" },
    { "pkcs11:?spki-sha256=", "spki-sha256: not 64 hexadecimal digits" },
    { "pkcs11:?spki-sha256=" HASH "0", "spki-sha256: not 64" },
    { "pkcs11:?spki-sha256=0" HASH, "spki-sha256: not 64" },
    { "pkcs11:?spki-sha256=abcdef", "spki-sha256: not 64" },
    { "pkcs11:?spki-sha256=" HASH ",", "spki-sha256: not 64" },
    { "pkcs11:?spki-sha256=," HASH, "spki-sha256: not 64" },
    { "pkcs11:?spki-sha256=" HASH ",," HASH, "spki-sha256: not 64" },
    { "pkcs11:?spki-sha256=" HASH ";" HASH, "spki-sha256: not 64" },
    { "pkcs11:?spki-sha256=" HASH ":" HASH, "spki-sha256: not 64" },
    { "pkcs11:?spki-sha256=" HASH HASH, "spki-sha256: not 64" },
    { "pkcs11:?spki-sha256=%30123456789abcdef0123456789abcdef0123456789abcdef"
      "0123456789abcdef",
      "spki-sha256: not 64" },
    { "pkcs11:?spki-sha256=g123456789abcdef0123456789abcdef0123456789abcdef0123"
      "456789abcdef",
      "spki-sha256: not 64" },
    { "pkcs11:?spki-sha256=" HASH "&spki-sha256=" HASH,
      "spki-sha256: given twice" },
    { "pkcs11:?spki-sha265=" HASH,
      "\"spki-sha265\", did you mean \"spki-sha256\"" },
    /* module-paths */
    { "pkcs11:?module-path=./a.so", "module-path: not an absolute path" },
    { "pkcs11:?module-path=~/a.so", "module-path: not an absolute path" },
    { "pkcs11:?module-path=file:/a.so", "module-path: not an absolute path" },
    { "pkcs11:?module-path=%2E%2E/a.so", "module-path: not an absolute" },

    /* PINs */
    { "pkcs11:?pin-value=" SECRET "&pin-source=file:/a", BOTH },
    { "pkcs11:?pin-value=&pin-source=/a", BOTH },
    { "pkcs11:?pin-source=file:/a&pin-value=", BOTH },
    { "pkcs11:?pin-source=/a&module-name=m&pin-value=" SECRET, BOTH },
    { "pkcs11:?pin-value=" SECRET "&pin-source=|command", BOTH },
    { "pkcs11:?pin-value=" SECRET "&" SECRET, AMPERSAND },
    { "pkcs11:?pin-value=" SECRET "&&module-name=m", AMPERSAND },
    { "pkcs11:?pin-value=" SECRET "&object=a", AMPERSAND },
    { "pkcs11:?pin-value=" SECRET "&x-" SECRET "=1", AMPERSAND },
    { "pkcs11:?pin-value=" SECRET "&pin-source", AMPERSAND },
    { "pkcs11:object=a&pin-value=" SECRET, "object" HOLDS },
    { "pkcs11:object=a,pin-value=" SECRET, "object" HOLDS },
    { "pkcs11:slot-id=1&pin-value=" SECRET, "slot-id" HOLDS },
    { "pkcs11:library-version=1&pin-value=" SECRET, "library-version" HOLDS },
    { "pkcs11:?module-name=a,pin-value=" SECRET, "module-name" HOLDS },
    { "pkcs11:?pin-source=file:/a|pin-value=" SECRET, "pin-source" HOLDS },
    { NULL, NULL },
};

/* A key file must not run programs, nor send anybody to the network. */
const struct uri_malformed uri_no_pin_file[] = {
    { "pkcs11:?pin-source=|command", NO_FILE },
    { "pkcs11:?pin-source=%7C/bin/cat%20/a", NO_FILE },
    { "pkcs11:?pin-source=|", NO_FILE },
    { "pkcs11:token=a?module-name=m&pin-source=|/bin/sh", NO_FILE },
    { "pkcs11:?pin-source=http:", NO_FILE },
    { "pkcs11:?pin-source=http://example.com/pin", NO_FILE },
    { "pkcs11:?pin-source=https://localhost/pin", NO_FILE },
    { "pkcs11:?pin-source=ftp://example.com/pin", NO_FILE },
    { "pkcs11:?pin-source=data:," SECRET, NO_FILE },
    { "pkcs11:?pin-source=env:PIN", NO_FILE },
    { "pkcs11:?pin-source=exec:/bin/cat", NO_FILE },
    { "pkcs11:?pin-source=command:/bin/cat", NO_FILE },
    { "pkcs11:?pin-source=" SECRET, NO_FILE },
    { "pkcs11:?pin-source=pin.txt", NO_FILE },
    { "pkcs11:?pin-source=../pin", NO_FILE },
    { "pkcs11:?pin-source=~/pin", NO_FILE },
    { "pkcs11:?pin-source=$HOME/pin", NO_FILE },
    { "pkcs11:?pin-source=-", NO_FILE },
    { "pkcs11:?pin-source=%20/pin", NO_FILE },
    { "pkcs11:?pin-source=file", NO_FILE },
    { "pkcs11:?pin-source=file:", NO_FILE },
    { "pkcs11:?pin-source=file://", NO_FILE },
    { "pkcs11:?pin-source=file://example.com/pin", NO_FILE },
    { "pkcs11:?pin-source=file://localhost", NO_FILE },
    { "pkcs11:?pin-source=file://localhost.example/pin", NO_FILE },
    { "pkcs11:?pin-source=file://127.0.0.1/pin", NO_FILE },
    { NULL, NULL },
};
