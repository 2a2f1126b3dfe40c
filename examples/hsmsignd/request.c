/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <openssl/crypto.h>
#include "log.h"
#include "request.h"

enum { BAD_REQUEST = 400 };

enum field {
    ACTION,
    HASH_ALGORITHM,
    SIGNATURE_TYPE,
    DIGEST,
    DOCUMENT_DIGEST, /* so in the reference service's test */
    HASH,            /* the web how-to's */
    TOKEN,
    CONTENTS,
    WEB_CONTENTS,
    DATA
};

static const struct reader_field fields[] = {
    [ACTION] = { "action", false },
    [HASH_ALGORITHM] = { "hash_algorithm", false },
    [SIGNATURE_TYPE] = { "signature_type", false },
    [DIGEST] = { "digest", false },
    [DOCUMENT_DIGEST] = { "document_digest", false },
    [HASH] = { "hash", false },
    [TOKEN] = { "signing_token", false },
    [CONTENTS] = { "encoded_contents", true },
    [WEB_CONTENTS] = { "encodedContents", true },
    [DATA] = { "data_to_be_signed", true },
    { NULL, false },
};

enum { SHA256 = 0, SHA1 = 4, MD5 = 5 };

static const struct {
    const char *name, *md;
} digests[REQUEST_DIGESTS] = {
    [SHA256] = { "sha256", "SHA2-256" },
    { "sha384", "SHA2-384" },
    { "sha512", "SHA2-512" },
    { "sha224", "SHA2-224" },
    [SHA1] = { "sha160", "SHA1" },
    [MD5] = { "md5", NULL },
};
static EVP_MD *mds[REQUEST_DIGESTS];

static const char *const actions[] = {
    [ACTION_CERTIFICATES] = "get_certificates",
    [ACTION_SIGN] = "sign",
    [ACTION_PKCS7] = "sign_pkcs7",
    [ACTION_WEB] = "encodedContents",
    [ACTION_UNKNOWN] = "",
};

const char *request_action_name(enum action action)
{
    return actions[action];
}

bool fault_set(struct fault *fault, int status, const char *format, ...)
{
    va_list args;

    fault->status = status;
    va_start(args, format);
    (void)vsnprintf(fault->text, sizeof(fault->text), format, args);
    va_end(args);
    log_printable(fault->text);
    return false;
}

bool request_init_digests(void)
{
    for (size_t i = 0; i < REQUEST_DIGESTS; i++) {
        if (digests[i].md != NULL)
            mds[i] = EVP_MD_fetch(NULL, digests[i].md, NULL);
        if (mds[i] == NULL && i < SHA1)
            return false;
    }
    return true;
}

void request_free_digests(void)
{
    for (size_t i = 0; i < REQUEST_DIGESTS; i++) {
        EVP_MD_free(mds[i]);
        mds[i] = NULL;
    }
}

/* REQUEST_DIGESTS is none. */
static size_t find_digest(const char *name, size_t len)
{
    static const char sha1[] = "sha1";
    size_t i = 0;

    if (len == strlen(sha1) && strncasecmp(name, sha1, len) == 0)
        return SHA1;
    while (i < REQUEST_DIGESTS &&
           (strlen(digests[i].name) != len ||
            strncasecmp(digests[i].name, name, len) != 0))
        i++;
    return i;
}

unsigned request_digest_bit(const char *name)
{
    size_t i = find_digest(name, strlen(name));

    return i < MD5 ? 1U << i : 0;
}

static bool is_allowed(const struct request *r, size_t digest)
{
    return digest < SHA1 || (digest == SHA1 && r->options->sha1 != 0);
}

/* The digest that was named, or each that may be named yet. */
static const char *hashing_begin(const struct request *r, struct hashing *h)
{
    if (h->seen)
        return "the contents are there twice";
    h->seen = true;
    for (size_t i = 0; i < REQUEST_DIGESTS; i++) {
        if (!is_allowed(r, i) || mds[i] == NULL ||
            (r->hint != REQUEST_DIGESTS && r->hint != i))
            continue;
        h->ctx[i] = EVP_MD_CTX_new();
        if (h->ctx[i] == NULL || !EVP_DigestInit_ex2(h->ctx[i], mds[i], NULL))
            return "out of memory";
    }
    return NULL;
}

/* What was decoded of it. */
static const char *hashing_add(struct request *r, struct hashing *h,
                               const unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < REQUEST_DIGESTS; i++) {
        if (h->ctx[i] != NULL && !EVP_DigestUpdate(h->ctx[i], bytes, len))
            return "the digest failed";
    }
    if (h == &r->data && h->len + len <= REQUEST_ATTRIBUTES_MAX) {
        if (r->attributes == NULL)
            r->attributes = OPENSSL_malloc(REQUEST_ATTRIBUTES_MAX);
        if (r->attributes == NULL)
            return "out of memory";
        memcpy(r->attributes + h->len, bytes, len);
    }
    h->len += len;
    return NULL;
}

static const char *take_value(void *arg, size_t field, const char *text,
                              size_t len)
{
    struct request *r = arg;
    struct hashing *h = field == DATA ? &r->data : &r->contents;
    unsigned char bytes[BASE64_MAX(8192)];
    const char *error = NULL;

    if (field == HASH_ALGORITHM)
        r->hint = find_digest(text, len);
    if (!fields[field].stream)
        return NULL;
    if (len == 0)
        return hashing_begin(r, h);
    while (len > 0 && error == NULL) {
        size_t n = len < 8192 ? len : 8192;

        error =
            hashing_add(r, h, bytes, base64_decode(&h->base64, text, n, bytes));
        text += n;
        len -= n;
    }
    return error;
}

void request_begin(struct request *r, const struct options *options,
                   struct users *users, const char *profile)
{
    *r = (struct request){ .options = options,
                           .users = users,
                           .hint = REQUEST_DIGESTS,
                           .action = ACTION_UNKNOWN };
    (void)snprintf(r->who.profile, sizeof(r->who.profile), "%s", profile);
    reader_init(&r->reader, fields, take_value, r);
}

void request_feed(struct request *r, const char *data, size_t len)
{
    reader_feed(&r->reader, data, len);
}

void request_free(struct request *r)
{
    for (size_t i = 0; i < REQUEST_DIGESTS; i++) {
        EVP_MD_CTX_free(r->contents.ctx[i]);
        EVP_MD_CTX_free(r->data.ctx[i]);
    }
    OPENSSL_free(r->attributes);
    reader_free(&r->reader);
}

/* A member that is a string, or NULL where it is missing or null. */
static bool get_text(const json_t *body, enum field field, const char **text,
                     struct fault *fault)
{
    const json_t *member = json_object_get(body, fields[field].name);

    *text = json_string_value(member);
    if (*text != NULL || member == NULL || json_is_null(member))
        return true;
    return fault_set(fault, BAD_REQUEST, "%s is not a string",
                     fields[field].name);
}

static bool find_action(struct request *r, const char *name,
                        struct fault *fault)
{
    enum action a = ACTION_CERTIFICATES;

    while (a < ACTION_WEB && strcmp(actions[a], name) != 0)
        a++;
    r->action = a;
    return a < ACTION_WEB ||
           fault_set(fault, BAD_REQUEST, "Unknown action %.64s", name);
}

static bool choose_digest(struct request *r, const char *name,
                          struct fault *fault, size_t *digest)
{
    *digest = name != NULL ? find_digest(name, strlen(name)) : SHA256;
    if (*digest == REQUEST_DIGESTS)
        return fault_set(fault, BAD_REQUEST, "hash_algorithm %.32s is unknown",
                         name);
    r->name = digests[*digest].name;
    if (!is_allowed(r, *digest) || mds[*digest] == NULL)
        return fault_set(fault, BAD_REQUEST,
                         "hash_algorithm %s is refused: it is not safe",
                         r->name);
    r->md = mds[*digest];
    r->digest_bit = 1U << *digest;
    r->digest_len = (size_t)EVP_MD_get_size(r->md);
    return true;
}

static bool hashing_end(struct request *r, struct hashing *h, size_t digest,
                        enum field field, struct fault *fault)
{
    unsigned char rest[2];
    size_t len;

    if (!base64_end(&h->base64, rest, &len))
        return fault_set(fault, BAD_REQUEST, "%s is not base64",
                         fields[field].name);
    if (h->len + len == 0)
        return fault_set(fault, BAD_REQUEST, "%s is empty", fields[field].name);
    if (hashing_add(r, h, rest, len) != NULL || h->ctx[digest] == NULL ||
        !EVP_DigestFinal_ex(h->ctx[digest], r->digest, NULL))
        return fault_set(fault, 500, "the digest failed");
    return true;
}

/* digest, in hex of either case, beside the contents or in place of them */
static bool take_digest(struct request *r, const char *hex, bool alone,
                        struct fault *fault)
{
    unsigned char given[EVP_MAX_MD_SIZE];
    size_t len = 0;
    bool good = strlen(hex) == 2 * r->digest_len &&
                OPENSSL_hexstr2buf_ex(given, sizeof(given), &len, hex, '\0') &&
                len == r->digest_len;

    if (alone) {
        if (!good)
            return fault_set(fault, BAD_REQUEST,
                             "digest is not the hex of a %s digest", r->name);
        memcpy(r->digest, given, len);
        return true;
    }
    r->mismatch = !good || memcmp(r->digest, given, len) != 0;
    return !r->mismatch || r->options->strict_digest == 0 ||
           fault_set(fault, BAD_REQUEST,
                     "digest is not that of encoded_contents");
}

static bool end_pkcs7(struct request *r, const json_t *body, size_t digest,
                      struct fault *fault)
{
    static const enum field names[] = { DIGEST, DOCUMENT_DIGEST, HASH };
    enum field field = r->action == ACTION_WEB ? WEB_CONTENTS : CONTENTS;
    const struct base64 *b = &r->contents.base64;
    bool alone = r->contents.len == 0 && b->n == 0 && !b->padded && !b->bad;
    const char *hex = NULL;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && hex == NULL;
         i++) {
        if (!get_text(body, names[i], &hex, fault))
            return false;
    }
    if (alone && hex == NULL)
        return fault_set(fault, BAD_REQUEST, "%s and digest are missing",
                         fields[field].name);
    return (alone || hashing_end(r, &r->contents, digest, field, fault)) &&
           (hex == NULL || take_digest(r, hex, alone, fault));
}

static bool end_sign(struct request *r, size_t digest, struct fault *fault)
{
    if (!r->data.seen)
        return fault_set(fault, BAD_REQUEST, "data_to_be_signed is missing");
    return hashing_end(r, &r->data, digest, DATA, fault);
}

static bool end(struct request *r, const json_t *body, struct fault *fault)
{
    const char *action, *hash, *type, *contents, *web, *data;
    size_t digest;

    if (!get_text(body, ACTION, &action, fault) ||
        !get_text(body, HASH_ALGORITHM, &hash, fault) ||
        !get_text(body, SIGNATURE_TYPE, &type, fault) ||
        !get_text(body, CONTENTS, &contents, fault) ||
        !get_text(body, WEB_CONTENTS, &web, fault) ||
        !get_text(body, DATA, &data, fault))
        return false;
    r->action = web != NULL ? ACTION_WEB : ACTION_PKCS7;
    if (action != NULL && !find_action(r, action, fault))
        return false;
    if (!users_check(
            r->users, json_object_get(body, fields[TOKEN].name),
            actions[r->action == ACTION_WEB ? ACTION_PKCS7 : r->action],
            &r->who, fault))
        return false;
    if (r->action == ACTION_CERTIFICATES)
        return true;
    r->cades = type != NULL && strcasecmp(type, "cades") == 0;
    if (type != NULL && !r->cades && strcasecmp(type, "cms") != 0)
        return fault_set(fault, BAD_REQUEST, "signature_type %.32s is unknown",
                         type);
    return choose_digest(r, hash, fault, &digest) &&
           (r->action == ACTION_SIGN ? end_sign(r, digest, fault)
                                     : end_pkcs7(r, body, digest, fault));
}

bool request_end(struct request *r, struct fault *fault)
{
    json_t *body = reader_end(&r->reader);
    bool good = body != NULL
                    ? end(r, body, fault)
                    : fault_set(fault, BAD_REQUEST, "%s", r->reader.error);

    json_decref(body);
    return good;
}
