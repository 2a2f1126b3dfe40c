/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign keygen: a key pair that is made in the token, stays there, and can do
 * nothing but sign.
 *
 * CKA_ID, which ties the halves and the certificate together, is random unless
 * it is given.  The other custom, the SHA-1 of the public key, can be had only
 * after the key is made, by C_SetAttributeValue: AWS CloudHSM refuses that on
 * a key.
 *
 * Tokens differ in what they take.  What is asked for first is everything; a
 * token that refuses attributes is asked again without those that only say
 * what the key shall not be used for, and what it then made is read back.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include "hsmsign_token.h"
#include "hsmsign_tool.h"
#include "pkcs11/calls.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* In bytes; CloudHSM takes 128 of an id and 127 of a label. */
#define ID_RANDOM 16
#define ID_MAX    64
#define LABEL_MAX 127

enum { TYPE, LABEL, KEY_ID, IF_MISSING, TOKEN };

static const struct cli_option options[] = {
    [TYPE] = { "type", "TYPE", true,
               "rsa:2048, rsa:3072, rsa:4096, ec:P-256, ec:P-384,\n"
               "                      ec:P-521 or ed25519" },
    [LABEL] = { "label", "LABEL", true, "CKA_LABEL of both halves" },
    [KEY_ID] = { "id", "HEX", false, "their CKA_ID (default: random)" },
    [IF_MISSING] = { "if-missing", NULL, false,
                     "be content with the key if it exists" },
    [TOKEN] = { "token", "URI", false,
                "the token, if there are several: a pkcs11: URI" },
};

static const struct cli_command command = {
    .name = "keygen",
    .usage = "keygen --type TYPE --label LABEL [--id HEX]\n"
             "           [--if-missing] [--token URI]",
    .about = "Make a key pair for signing on a token: private, sensitive, not "
             "extractable.\nPrints the private key's URI.",
    .options = options,
    .n_options = sizeof(options) / sizeof(options[0]),
};

/* PKCS #11 v2.40 mechanisms, 2.1.4: as AWS CloudHSM calls its RSA keys. */
#ifndef CKM_RSA_X9_31_KEY_PAIR_GEN
#define CKM_RSA_X9_31_KEY_PAIR_GEN 0xaUL
#endif

#define OID(bytes) bytes, sizeof(bytes) - 1

/*
 * How to ask for a key; rows of one name are tried in turn when the token does
 * not know the mechanism or the curve.  Curves are named by their object
 * identifier in DER; Edwards curves by the name too, as PKCS #11 v3.0 has it.
 */
static const struct key_type {
    const char *name;
    CK_MECHANISM_TYPE mechanism;
    CK_ULONG bits;      /* RSA */
    const char *params; /* others */
    size_t params_len;
} key_types[] = {
    { "rsa:2048", CKM_RSA_PKCS_KEY_PAIR_GEN, 2048, NULL, 0 },
    { "rsa:2048", CKM_RSA_X9_31_KEY_PAIR_GEN, 2048, NULL, 0 },
    { "rsa:3072", CKM_RSA_PKCS_KEY_PAIR_GEN, 3072, NULL, 0 },
    { "rsa:3072", CKM_RSA_X9_31_KEY_PAIR_GEN, 3072, NULL, 0 },
    { "rsa:4096", CKM_RSA_PKCS_KEY_PAIR_GEN, 4096, NULL, 0 },
    { "rsa:4096", CKM_RSA_X9_31_KEY_PAIR_GEN, 4096, NULL, 0 },
    { "ec:P-256", CKM_EC_KEY_PAIR_GEN, 0,
      OID("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07") },
    { "ec:P-384", CKM_EC_KEY_PAIR_GEN, 0, OID("\x06\x05\x2b\x81\x04\x00\x22") },
    { "ec:P-521", CKM_EC_KEY_PAIR_GEN, 0, OID("\x06\x05\x2b\x81\x04\x00\x23") },
    { "ed25519", CKM_EC_EDWARDS_KEY_PAIR_GEN, 0, OID("\x06\x03\x2b\x65\x70") },
    { "ed25519", CKM_EC_EDWARDS_KEY_PAIR_GEN, 0,
      OID("\x13\x0c"
          "edwards25519") },
};

/* What to ask for, by how much it matters. */
enum demand {
    MUST,   /* no key without it */
    SHOULD, /* tokens without such uses may not know the attribute */
    COULD,  /* AWS CloudHSM: the same as CKA_SIGN, or not at all */
    DEMANDS
};

struct use {
    CK_ATTRIBUTE_TYPE type;
    CK_BBOOL value;
    enum demand demand;
};

static const struct use private_uses[] = {
    { CKA_TOKEN, CK_TRUE, MUST },          { CKA_PRIVATE, CK_TRUE, MUST },
    { CKA_SENSITIVE, CK_TRUE, MUST },      { CKA_EXTRACTABLE, CK_FALSE, MUST },
    { CKA_SIGN, CK_TRUE, MUST },           { CKA_DECRYPT, CK_FALSE, SHOULD },
    { CKA_DERIVE, CK_FALSE, SHOULD },      { CKA_UNWRAP, CK_FALSE, SHOULD },
    { CKA_SIGN_RECOVER, CK_FALSE, COULD },
};

/* CKA_PRIVATE is the token's choice: CloudHSM has none but private objects. */
static const struct use public_uses[] = {
    { CKA_TOKEN, CK_TRUE, MUST },      { CKA_VERIFY, CK_TRUE, MUST },
    { CKA_ENCRYPT, CK_FALSE, SHOULD }, { CKA_WRAP, CK_FALSE, SHOULD },
    { CKA_DERIVE, CK_FALSE, SHOULD },  { CKA_VERIFY_RECOVER, CK_FALSE, COULD },
};

/* Owns nothing but the token. */
struct job {
    const char *const *option;
    struct token token;
    struct object wanted; /* label and id, and the URI that it will have */
    bool id_given;
    unsigned char id[ID_MAX];
};

static int parse_type(const char *name)
{
    for (size_t i = 0; i < COUNT(key_types); i++) {
        if (strcmp(name, key_types[i].name) == 0)
            return CLI_OK;
    }
    return cli_usage("keygen",
                     "--type is rsa:2048, rsa:3072, rsa:4096, "
                     "ec:P-256, ec:P-384, ec:P-521 or ed25519, "
                     "not %s",
                     name);
}

static int parse_id(struct job *job, const char *hex)
{
    size_t len = strlen(hex);

    for (size_t i = 0; i < len; i++) {
        if (!isxdigit((unsigned char)hex[i]))
            return cli_usage("keygen", "--id is hexadecimal, not %s", hex);
    }
    if (len % 2 != 0 || len > 2 * (size_t)ID_MAX)
        return cli_usage("keygen",
                         "--id has two digits for each of 1 to %d "
                         "bytes",
                         ID_MAX);
    if (!OPENSSL_hexstr2buf_ex(job->id, sizeof(job->id), &len, hex, '\0'))
        return cli_fail("--id %s", hex);
    job->wanted.id.len = len;
    job->id_given = true;
    return CLI_OK;
}

static int check_options(struct job *job)
{
    const char *label = job->option[LABEL];
    int status = parse_type(job->option[TYPE]);

    if (status != CLI_OK)
        return status;
    if (strlen(label) > LABEL_MAX)
        return cli_usage("keygen", "--label is longer than %d bytes",
                         LABEL_MAX);
    job->wanted.class = CKO_PRIVATE_KEY;
    job->wanted.label =
        (struct p11_uri_value){ true, strlen(label), (char *)label };
    job->wanted.id = (struct p11_uri_value){ true, ID_RANDOM, (char *)job->id };
    if (job->option[KEY_ID] != NULL)
        return parse_id(job, job->option[KEY_ID]);
    if (RAND_bytes(job->id, ID_RANDOM) <= 0)
        return cli_fail("random CKA_ID");
    return CLI_OK;
}

static int enter(struct job *job)
{
    struct token *t = &job->token;
    const char *uri = job->option[TOKEN];
    struct p11_slot *slot;
    int status = token_open(t, uri != NULL ? uri : "pkcs11:");

    if (status == CLI_OK &&
        (t->uri->object.present || t->uri->id.present || t->uri->type.present))
        status = cli_usage("keygen", "--token names a token, not an object");
    if (status == CLI_OK)
        status = token_find(t, &slot);
    if (status == CLI_OK)
        status = token_enter(t, slot, TOKEN_PIN_ANY);
    if (status == CLI_OK && !object_name(t, &job->wanted))
        status = cli_fail("no memory for a URI");
    if (status == CLI_OK && !job->wanted.uri_has_label)
        status = cli_usage("keygen", "--label cannot stand in a URI: it is "
                                     "not UTF-8, or looks like a PIN");
    return status;
}

/* What nobody wants of a key that signs, said once for each. */
static void warn_about(const struct token *t, const struct object *key)
{
    if (!key->sensitive)
        cli_warn("%s: the key is not sensitive (CKA_SENSITIVE): whoever has "
                 "the PIN can read it; make a new one",
                 t->slot->where);
    if (key->extractable)
        cli_warn("%s: the key is extractable (CKA_EXTRACTABLE): whoever has "
                 "the PIN can take it out; make a new one",
                 t->slot->where);
}

static int print_uri(const struct object *key)
{
    (void)printf("%s\n", key->uri);
    return CLI_OK;
}

/* The key that --if-missing is content with; *done says whether it exists. */
static int use_existing(struct job *job, bool *done)
{
    struct token *t = &job->token;
    const char *label = job->option[LABEL];
    struct objects found = { 0 };
    const struct object *key;
    int status = objects_find(t, CKO_PRIVATE_KEY, &job->wanted.label,
                              job->id_given ? &job->wanted.id : NULL, &found);

    *done = status == CLI_OK && found.count > 0;
    if (!*done)
        goto out;
    key = &found.list[0];
    if (found.count > 1) {
        status = cli_fail("%s: %zu private keys have the label %s; say which "
                          "with --id, see hsmsign keys",
                          t->slot->where, found.count, label);
    } else if (strcmp(key->kind, job->option[TYPE]) != 0) {
        status = cli_fail("%s: the key %s exists and is %s, not %s; choose "
                          "another --label",
                          t->slot->where, label, key->kind, job->option[TYPE]);
    } else if (!key->may_sign) {
        status = cli_fail("%s: the key %s exists and may not sign (CKA_SIGN "
                          "is false); choose another --label",
                          t->slot->where, label);
    } else {
        warn_about(t, key);
        status = print_uri(key);
    }
out:
    objects_free(&found);
    return status;
}

/* Two keys of one name, and nobody knows which one signs. */
static int check_free(struct job *job)
{
    static const CK_OBJECT_CLASS classes[] = { CKO_PRIVATE_KEY,
                                               CKO_PUBLIC_KEY };
    struct token *t = &job->token;
    int status = CLI_OK;

    for (size_t i = 0; i < 2 * COUNT(classes) && status == CLI_OK; i++) {
        CK_OBJECT_CLASS class = classes[i / 2];
        bool by_id = i % 2 != 0;
        struct objects found = { 0 };

        if (by_id && !job->id_given)
            continue;
        status = objects_find(t, class, by_id ? NULL : &job->wanted.label,
                              by_id ? &job->wanted.id : NULL, &found);
        if (status == CLI_OK && found.count > 0)
            status =
                cli_fail("%s: a %s with this %s exists; choose another "
                         "--%s%s",
                         t->slot->where, object_class_name(class),
                         by_id ? "CKA_ID" : "CKA_LABEL", by_id ? "id" : "label",
                         class == CKO_PRIVATE_KEY && !by_id
                             ? ", or use that key with --if-missing"
                             : "");
        objects_free(&found);
    }
    return status;
}

/* Room for all uses, label, id, and two of the type's own. */
#define TEMPLATE_MAX 16

struct template
{
    CK_ATTRIBUTE attr[TEMPLATE_MAX];
    CK_ULONG n;
};

static void put(struct template *to, CK_ATTRIBUTE_TYPE type, const void *value,
                size_t len)
{
    to->attr[to->n++] = (CK_ATTRIBUTE){ type, (void *)value, (CK_ULONG)len };
}

static void put_common(struct template *to, const struct job *job,
                       const struct use *uses, size_t n, enum demand demand)
{
    const struct object *wanted = &job->wanted;

    to->n = 0;
    put(to, CKA_LABEL, wanted->label.bytes, wanted->label.len);
    put(to, CKA_ID, wanted->id.bytes, wanted->id.len);
    for (size_t i = 0; i < n; i++) {
        if (uses[i].demand <= demand)
            put(to, uses[i].type, &uses[i].value, sizeof(uses[i].value));
    }
}

static CK_RV ask(struct job *job, const struct key_type *type,
                 enum demand demand, CK_OBJECT_HANDLE *private_key)
{
    static const unsigned char exponent[] = { 1, 0, 1 };
    struct token *t = &job->token;
    CK_MECHANISM mechanism = { type->mechanism, NULL, 0 };
    CK_OBJECT_HANDLE public_key = 0;
    struct template public, private;

    put_common(&private, job, private_uses, COUNT(private_uses), demand);
    put_common(&public, job, public_uses, COUNT(public_uses), demand);
    if (type->bits != 0) {
        put(&public, CKA_MODULUS_BITS, &type->bits, sizeof(type->bits));
        put(&public, CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent));
    } else {
        put(&public, CKA_EC_PARAMS, type->params, type->params_len);
    }
    return P11_CALL(t->module->fl, C_GenerateKeyPair, t->session->handle,
                    &mechanism, public.attr, public.n, private.attr, private.n,
                    &public_key, private_key);
}

/* Another row may be understood. */
static bool is_unknown_type(CK_RV rv)
{
    return rv == CKR_MECHANISM_INVALID || rv == CKR_DOMAIN_PARAMS_INVALID ||
           rv == CKR_CURVE_NOT_SUPPORTED;
}

/* Fewer attributes may be. */
static bool is_unknown_attribute(CK_RV rv)
{
    return rv == CKR_TEMPLATE_INCONSISTENT || rv == CKR_ATTRIBUTE_READ_ONLY ||
           rv == CKR_ATTRIBUTE_TYPE_INVALID ||
           rv == CKR_ATTRIBUTE_VALUE_INVALID;
}

static int generate(struct job *job, CK_OBJECT_HANDLE *private_key)
{
    const char *name = job->option[TYPE];
    struct p11_error err = { 0 };
    CK_RV rv = CKR_MECHANISM_INVALID;
    bool again = true;
    char where[160];

    for (size_t i = 0; i < COUNT(key_types) && again; i++) {
        int demand = DEMANDS;

        if (strcmp(name, key_types[i].name) != 0)
            continue;
        do {
            demand--;
            rv = ask(job, &key_types[i], (enum demand)demand, private_key);
        } while (demand > MUST && is_unknown_attribute(rv));
        /* It may be the value of CKA_EC_PARAMS that is not understood. */
        again = is_unknown_type(rv) ||
                (is_unknown_attribute(rv) && key_types[i].params != NULL);
    }
    if (rv == CKR_OK)
        return CLI_OK;
    (void)snprintf(where, sizeof(where), "%s, a key of type %s",
                   job->token.slot->where, name);
    p11_error_call(&err, rv, "C_GenerateKeyPair", where);
    if (is_unknown_type(rv))
        return cli_fail("C_GenerateKeyPair: %s (%s): this token makes no such "
                        "keys; choose another --type",
                        p11_rv_info(rv)->name, where);
    return token_fail(&err);
}

/* A template is a wish; this is what came of it. */
static int check_made(struct job *job, CK_OBJECT_HANDLE private_key)
{
    struct token *t = &job->token;
    struct object made = { 0 };
    int status = object_read(t, CKO_PRIVATE_KEY, private_key, &made);

    if (status != CLI_OK)
        cli_warn("%s: the key was made, but cannot be looked at (%s); see "
                 "keygen --if-missing",
                 t->slot->where, job->wanted.uri);
    else if (!made.sensitive || made.extractable)
        status = cli_fail("%s: the key was made, but the token says that it is "
                          "%s; delete it (%s)",
                          t->slot->where,
                          made.extractable ? "extractable" : "not sensitive",
                          job->wanted.uri);
    else if (made.more_uses)
        cli_warn("%s: the new key can do more than sign (CKA_DECRYPT, "
                 "CKA_UNWRAP or CKA_DERIVE), since the token did not let "
                 "that be refused",
                 t->slot->where);
    object_clear(&made);
    return status == CLI_OK ? print_uri(&job->wanted) : status;
}

int cmd_keygen(int argc, char **argv)
{
    CK_OBJECT_HANDLE private_key = 0;
    struct job job = { 0 };
    struct cli_values values;
    bool done = false;
    int status;

    if (!cli_parse(&command, argc, argv, &values, &status))
        return status;
    job.option = values.option;
    status = check_options(&job);
    if (status == CLI_OK)
        status = enter(&job);
    if (status == CLI_OK && values.option[IF_MISSING] != NULL)
        status = use_existing(&job, &done);
    if (status == CLI_OK && !done) {
        status = check_free(&job);
        if (status == CLI_OK)
            status = generate(&job, &private_key);
        if (status == CLI_OK)
            status = check_made(&job, private_key);
    }
    OPENSSL_free(job.wanted.uri);
    token_close(&job.token);
    return status;
}
