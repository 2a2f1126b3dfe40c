/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of pkcs11: URIs, most of them good, the others bad in the ways in
 * which people and programs get them wrong.  No two runs differ.
 */
#include "uri_generator.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const path_names[] = {
    "token",
    "manufacturer",
    "serial",
    "model",
    "library-manufacturer",
    "library-description",
    "object",
    "slot-manufacturer",
    "slot-description",
    "token",
    "object",
    "id",
    "id",
    "type",
    "type",
    "slot-id",
    "library-version",
};

static const char *const query_names[] = {
    "pin-value", "pin-source", "module-name", "module-path", "spki-sha256",
};

/* Misspelt, of older drafts, of vendors. */
static const char *const odd_names[] = {
    "Token",   "objekt",      "objecttype",     "object-type",
    "pinfile", "x-pin-value", "vendor",         "",
    "tok%65n", "x_1",         "library-versio",
};

static const char *const types[] = {
    "private",    "public",    "cert",   "data",      "secret-key", "private",
    "secret-key", "secretkey", "Public", "%70rivate", "",           "privat",
};

static const char *const versions[] = {
    "1",     "2.6", "0.0",        "254.254",      "003.004", "255",
    "1.255", "256", "4294967297", "1.",           ".1",      "1.2.3",
    "",      "-1",  "x",          "1.4294967296",
};

static const char *const slots[] = {
    "0",
    "1",
    "42",
    "0000000000000000000000007",
    "2305843009213693953",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "18446744073709551617",
    "99999999999999999999999",
    "",
    "0x1",
    "-1",
    "1.0",
    "%31",
};

static const char *const sources[] = {
    "/run/pin",
    "file:/run/pin",
    "file:///run/pin",
    "FILE:pin",
    "file://localhost/run/pin",
    "file://host/run/pin",
    "file:",
    "file://",
    "|cat%20/run/pin",
    "prompt:",
    "",
    "pin",
    "file:/a%20b",
    "/run/p?a=b",
};

static const char *const paths[] = {
    "/usr/lib/softhsm/libsofthsm2.so",
    "/a%20b/c.so",
    "/",
    "libsofthsm2.so",
    "./a",
    "",
    "%2Fa",
    "/a?b|c",
};

#define HASH "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"
static const char *const hashes[] = {
    HASH,   HASH "," HASH,          HASH ",",     HASH "0",   HASH HASH, "",
    "0123", HASH "," HASH "," HASH, HASH ",0123", "%30" HASH,
};

/* What a text is made of, by what is wrong with it. */
static const char *const plain[] = {
    "a", "e", "n", "T", "Z", "0", "1", "9", "-", "_", ".", "~", "demo", "key",
};
static const char *const escaped[] = {
    "%20",    "%25",       "%3b",          "%3B",       "%3f", "%26",
    "%2F",    "%23",       "%22",          "%7f",       "%0a", "%41",
    "%c3%bc", "%e2%82%ac", "%f0%9f%94%91", "%ED%9F%BF",
};
static const char *const marks[] = {
    ":", "[", "]", "@", "!", "$", "'", "(", ")",
    "*", "+", ",", "=", "&", "/", "|", "?", ";",
};
static const char *const odd[] = {
    "%00",          "%ff",      "%c3",  "%c0%80",      "%ed%a0%80",
    "%f4%90%80%80", "%80",      "%",    "%4",          "%g1",
    "%1 2",         " ",        "\t",   "\n",          "#",
    "\"",           "\\",       "^",    "{",           "\x01",
    "\x7f",         "\xC3\xBC", "\xFF", "&pin-value=", ";pin-value=1",
    "pin-value",
};

static const char *const good[] = {
    "pkcs11:",
    "pkcs11:token=demo;object=signer;type=private",
    "pkcs11:token=demo;id=%01%02%ff?pin-source=file:/run/pin",
    "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20"
    "Oil,%20Inc.;model=1.0;serial=0123456789abcdef?pin-value=the-pin",
    "pkcs11:slot-description=Sun%20Metaslot;slot-manufacturer=Sun;slot-id=42",
    "pkcs11:library-manufacturer=Snake%20Oil,%20Inc.;library-description=Soft"
    "%20Token;library-version=1.23;object=my-certificate;type=cert;id=%69%95",
    "pkcs11:object=a;type=secret-key?module-name=p&module-path=/"
    "a&pin-value=%26",
    "pkcs11:token=0123456789abcdef0123456789abcdef;slot-id=9223372036854775807",
};

/* xorshift64* (Vigna, 2014); below n. */
static size_t pick(struct uri_generator *gen, size_t n)
{
    gen->state ^= gen->state >> 12;
    gen->state ^= gen->state << 25;
    gen->state ^= gen->state >> 27;
    return (size_t)((gen->state * UINT64_C(2685821657736338717)) >> 33) % n;
}

static bool chance(struct uri_generator *gen, size_t percent)
{
    return pick(gen, 100) < percent;
}

static void add(struct uri_generator *gen, const char *text)
{
    size_t len = strlen(gen->text);

    (void)snprintf(gen->text + len, sizeof(gen->text) - len, "%s", text);
}

#define ADD_ONE_OF(gen, list) add(gen, (list)[pick(gen, COUNT(list))])

static void add_text(struct uri_generator *gen)
{
    /* Around the lengths of PKCS #11's fields, but mostly short. */
    static const size_t lengths[] = { 0,  1,  3,  8,  8,  12, 15,
                                      16, 17, 31, 32, 33, 64, 65 };
    size_t n = lengths[pick(gen, chance(gen, 70) ? 6 : COUNT(lengths))];
    bool simple = chance(gen, 50);

    while (n-- > 0) {
        switch (simple ? 0 : pick(gen, 40)) {
        default:
            ADD_ONE_OF(gen, plain);
            break;
        case 1:
        case 2:
        case 3:
        case 4:
        case 5:
            ADD_ONE_OF(gen, escaped);
            break;
        case 6:
        case 7:
            ADD_ONE_OF(gen, marks);
            break;
        case 8:
            if (chance(gen, 50))
                ADD_ONE_OF(gen, odd);
            break;
        }
    }
}

static void add_attribute(struct uri_generator *gen, bool query)
{
    const char *name = query ? query_names[pick(gen, COUNT(query_names))]
                             : path_names[pick(gen, COUNT(path_names))];

    if (chance(gen, 3))
        name = odd_names[pick(gen, COUNT(odd_names))];
    else if (chance(gen, 3))
        name = query ? path_names[pick(gen, COUNT(path_names))]
                     : query_names[pick(gen, COUNT(query_names))];
    add(gen, name);
    if (!chance(gen, 1))
        add(gen, "=");
    if (strstr(name, "type") != NULL && !chance(gen, 3))
        ADD_ONE_OF(gen, types);
    else if (strcmp(name, "library-version") == 0)
        ADD_ONE_OF(gen, versions);
    else if (strcmp(name, "slot-id") == 0)
        ADD_ONE_OF(gen, slots);
    else if (strcmp(name, "pin-source") == 0)
        ADD_ONE_OF(gen, sources);
    else if (strcmp(name, "module-path") == 0)
        ADD_ONE_OF(gen, paths);
    else if (strcmp(name, "spki-sha256") == 0)
        ADD_ONE_OF(gen, hashes);
    else
        add_text(gen);
}

static void add_component(struct uri_generator *gen, bool query)
{
    size_t n = pick(gen, 4);
    const char *separator = query ? "&" : ";";

    if (chance(gen, 1))
        add(gen, separator);
    while (n-- > 0) {
        add_attribute(gen, query);
        if (n > 0 || chance(gen, 1))
            add(gen, chance(gen, 1) ? query ? ";" : "&" : separator);
        if (chance(gen, 1))
            add(gen, separator);
    }
}

void uri_generate(struct uri_generator *gen)
{
    static const char *const schemes[] = { "PKCS11:", "Pkcs11:", "pkcs11x:",
                                           "pkcs11",  "file:",   " pkcs11:" };

    gen->text[0] = '\0';
    if (chance(gen, 3))
        ADD_ONE_OF(gen, schemes);
    else
        add(gen, "pkcs11:");
    add_component(gen, false);
    if (chance(gen, 40)) {
        add(gen, "?");
        add_component(gen, true);
    }
}

void uri_mutate(struct uri_generator *gen)
{
    static const char alphabet[] = "aeiknoptTZ019:;=?&%/|-_.,+ #\x7f\xc3";
    static const char *const separators[] = { ";", ";", "?", "&", "" };
    const char *base = good[pick(gen, COUNT(good))];
    const char *other = good[pick(gen, COUNT(good))];
    size_t edits = 1 + pick(gen, 3), at, len;

    gen->text[0] = '\0';
    add(gen, base);
    while (edits-- > 0) {
        len = strlen(gen->text);
        at = pick(gen, len + 1);
        switch (pick(gen, 5)) {
        case 0: /* lose a character */
            memmove(gen->text + at, gen->text + at + (at < len),
                    len + 1 - at - (at < len));
            break;
        case 1: /* change one */
            if (at < len)
                gen->text[at] = alphabet[pick(gen, sizeof(alphabet) - 1)];
            break;
        case 2: /* insert one */
            memmove(gen->text + at + 1, gen->text + at, len + 1 - at);
            gen->text[at] = alphabet[pick(gen, sizeof(alphabet) - 1)];
            break;
        case 3: /* cut here */
            gen->text[at] = '\0';
            break;
        default: /* append the end of another */
            ADD_ONE_OF(gen, separators);
            add(gen, other + pick(gen, strlen(other) + 1));
            break;
        }
    }
}
