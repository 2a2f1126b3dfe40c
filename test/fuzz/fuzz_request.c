/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the body of POST /sign, as hsmsignd reads it piece by piece.
 *
 *     byte 0  options: 1 allow SHA-1, 2 strict digest
 *     byte 1  the length of the pieces
 *     then    the body
 *
 * The pieces make no difference.  What is accepted is what Jansson says of the
 * whole body, and the digest that of the contents as libcrypto decodes them.
 * What Jansson alone refuses is in a string that goes nowhere, which is neither
 * looked at for UTF-8 nor for surrogates.
 */
#include <jansson.h>
#include <string.h>
#include <strings.h>
#include "examples/hsmsignd/request.h"
#include "fuzz.h"

bool fuzz_accepted;

struct outcome {
    bool good;
    struct request request;
    struct fault fault;
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_check(request_init_digests() && atexit(request_free_digests) == 0,
               "no digests");
    return 0;
}

static void run(const struct options *options, const uint8_t *body, size_t size,
                size_t piece, struct outcome *o)
{
    memset(o, 0, sizeof(*o));
    request_begin(&o->request, options, NULL, "");
    while (size > 0) {
        size_t n = size < piece ? size : piece;
        char *copy = malloc(n);

        /* Of its own, so that sanitizers see what reads beyond it. */
        fuzz_check(copy != NULL, "no memory");
        memcpy(copy, body, n);
        request_feed(&o->request, copy, n);
        free(copy);
        body += n;
        size -= n;
    }
    o->good = request_end(&o->request, &o->fault);
    fuzz_check(o->good == (o->fault.status == 0), "a fault without failure");
    fuzz_check(o->fault.status < 500, "a client's fault that is ours");
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    const struct request *r = &a->request, *s = &b->request;

    fuzz_check(a->fault.status == b->fault.status &&
                   strcmp(a->fault.text, b->fault.text) == 0,
               "another answer in pieces");
    fuzz_check(r->action == s->action && r->cades == s->cades &&
                   r->md == s->md && r->mismatch == s->mismatch,
               "another request in pieces");
    fuzz_check(r->digest_len == s->digest_len &&
                   memcmp(r->digest, s->digest, r->digest_len) == 0,
               "another digest in pieces");
}

/* Its length; or -1 if it is no base64.  Frees *bytes who calls it. */
static int decode(const char *text, unsigned char **bytes)
{
    size_t len = strlen(text), n = 0, pad = 0;
    unsigned char *plain = malloc(len + 4);
    int decoded = -1;
    bool good = true;

    *bytes = malloc(len + 4);
    fuzz_check(plain != NULL && *bytes != NULL, "no memory");
    for (; *text != '\0'; text++) {
        if (strchr(" \t\r\n", *text) != NULL)
            continue;
        pad += *text == '=';
        good = good && (*text == '=' || pad == 0) &&
               (*text == '=' || strchr("-_+/", *text) != NULL ||
                (*text >= '0' && *text <= '9') ||
                ((*text | 0x20) >= 'a' && (*text | 0x20) <= 'z'));
        if (*text != '=')
            plain[n++] = (unsigned char)(*text == '-'   ? '+'
                                         : *text == '_' ? '/'
                                                        : *text);
    }
    good = good && n % 4 != 1 && (pad == 0 || n % 4 != 0);
    pad = (4 - n % 4) % 4;
    memcpy(plain + n, "====", pad);
    if (good && n > 0)
        decoded = EVP_DecodeBlock(*bytes, plain, (int)(n + pad)) - (int)pad;
    else if (good)
        decoded = 0;
    free(plain);
    return decoded;
}

/* What is signed is the digest of what the body says. */
static void check_digest(const struct request *r, const json_t *body)
{
    const char *name = r->action == ACTION_SIGN  ? "data_to_be_signed"
                       : r->action == ACTION_WEB ? "encodedContents"
                                                 : "encoded_contents";
    const char *text = json_string_value(json_object_get(body, name));
    unsigned char *bytes = NULL, digest[EVP_MAX_MD_SIZE];
    int n = text != NULL ? decode(text, &bytes) : 0;

    fuzz_check(n >= 0, "contents that are no base64");
    if (n > 0)
        fuzz_check(EVP_Digest(bytes, (size_t)n, digest, NULL, r->md, NULL) >
                           0 &&
                       memcmp(digest, r->digest, r->digest_len) == 0,
                   "another digest than that of the contents");
    else
        fuzz_check(r->action != ACTION_SIGN, "a signature of nothing");
    free(bytes);
}

static void check_names(const struct request *r, const json_t *body)
{
    const char *action = json_string_value(json_object_get(body, "action"));
    const char *type =
        json_string_value(json_object_get(body, "signature_type"));
    const char *hash =
        json_string_value(json_object_get(body, "hash_algorithm"));

    fuzz_check(action == NULL ||
                   strcmp(action, request_action_name(r->action)) == 0,
               "another action");
    if (r->action == ACTION_CERTIFICATES)
        return;
    fuzz_check(r->cades == (type != NULL && strcasecmp(type, "cades") == 0),
               "another signature_type");
    fuzz_check(strcasecmp(hash == NULL                    ? "sha256"
                          : strcasecmp(hash, "sha1") == 0 ? "sha160"
                                                          : hash,
                          r->name) == 0,
               "another hash_algorithm");
    check_digest(r, body);
}

/* Whether there is what only Jansson looks at. */
static bool has_beyond_ascii(const uint8_t *body, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (body[i] >= 0x80 || (body[i] == '\\' && i + 1 < size))
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct options options = { 0 };
    struct outcome whole, pieces;
    const uint8_t *text;
    json_t *body;

    fuzz_accepted = false;
    if (size < 2)
        return 0;
    options.sha1 = data[0] & 1;
    options.strict_digest = data[0] >> 1 & 1;
    run(&options, data + 2, size - 2, size, &whole);
    run(&options, data + 2, size - 2, (size_t)data[1] + 1, &pieces);
    check_same(&whole, &pieces);

    text = data + 2;
    size -= 2;
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        size -= 3;
    }
    body = json_loadb((const char *)text, size, JSON_REJECT_DUPLICATES, NULL);
    if (whole.good && json_is_object(body))
        check_names(&whole.request, body);
    else if (whole.good)
        fuzz_check(has_beyond_ascii(text, size), "what is no JSON");
    else if (json_is_object(body) && size <= READER_TEXT_MAX)
        fuzz_check(strncmp(whole.fault.text, "the body is not", 15) != 0,
                   "JSON is none");
    json_decref(body);
    fuzz_accepted = whole.good;
    request_free(&whole.request);
    request_free(&pieces.request);
    return 0;
}
