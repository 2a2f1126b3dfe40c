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
 * How the key is asked for is in pkcs11/generate.c, which openssl genpkey uses
 * too.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include "hsmsign_token.h"
#include "hsmsign_tool.h"
#include "pkcs11/generate.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* In bytes; CloudHSM takes 128 of an id and 127 of a label. */
#define ID_RANDOM 16
#define ID_MAX    64
#define LABEL_MAX 127

enum { TYPE, LABEL, KEY_ID, IF_MISSING, TOKEN };

static const struct cli_option options[] = {
    [TYPE] = { "type", "TYPE", true,
               "rsa:2048, rsa:3072, rsa:4096, ec:P-256, ec:P-384,\n"
               "                      ec:P-521, ed25519, ml-dsa-44, ml-dsa-65 "
               "or\n"
               "                      ml-dsa-87" },
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

#define CURVE(oid)                                                             \
    .params = (const unsigned char *)(oid), .params_len = sizeof(oid) - 1

/* Curves are named by their object identifier in DER. */
static const struct p11_new_key key_types[] = {
    { "rsa:2048", CKK_RSA, .bits = 2048 },
    { "rsa:3072", CKK_RSA, .bits = 3072 },
    { "rsa:4096", CKK_RSA, .bits = 4096 },
    { "ec:P-256", CKK_EC, CURVE("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07") },
    { "ec:P-384", CKK_EC, CURVE("\x06\x05\x2b\x81\x04\x00\x22") },
    { "ec:P-521", CKK_EC, CURVE("\x06\x05\x2b\x81\x04\x00\x23") },
    { "ed25519", CKK_EC_EDWARDS, CURVE("\x06\x03\x2b\x65\x70") },
    { "ml-dsa-44", CKK_ML_DSA, .parameter_set = CKP_ML_DSA_44 },
    { "ml-dsa-65", CKK_ML_DSA, .parameter_set = CKP_ML_DSA_65 },
    { "ml-dsa-87", CKK_ML_DSA, .parameter_set = CKP_ML_DSA_87 },
};

/* Owns nothing but the token. */
struct job {
    const char *const *option;
    struct token token;
    struct p11_new_key new;
    struct object wanted; /* label and id, and the URI that it will have */
    bool id_given;
    unsigned char id[ID_MAX];
};

static int parse_type(struct job *job, const char *name)
{
    for (size_t i = 0; i < COUNT(key_types); i++) {
        if (strcmp(name, key_types[i].name) != 0)
            continue;
        job->new = key_types[i];
        return CLI_OK;
    }
    return cli_usage("keygen",
                     "--type is rsa:2048, rsa:3072, rsa:4096, "
                     "ec:P-256, ec:P-384, ec:P-521, ed25519, ml-dsa-44, "
                     "ml-dsa-65 or ml-dsa-87, not %s",
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
    int status = parse_type(job, job->option[TYPE]);

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

static int check_free(struct job *job)
{
    const struct p11_uri_value any = { 0 };
    struct token *t = &job->token;
    struct p11_taken taken = { 0 };
    struct p11_error err = { 0 };
    bool by_id;

    if (p11_generate_is_free(t->slot, t->session, &job->wanted.label,
                             job->id_given ? &job->wanted.id : &any, &taken,
                             &err) == CKR_OK)
        return CLI_OK;
    if (err.rv != P11_KEY_EXISTS)
        return token_fail(&err);
    by_id = taken.by == CKA_ID;
    return cli_fail("%s; choose another --%s%s", err.text,
                    by_id ? "id" : "label",
                    taken.class == CKO_PRIVATE_KEY && !by_id
                        ? ", or use that key with --if-missing"
                        : "");
}

static int generate(struct job *job, CK_OBJECT_HANDLE *private_key)
{
    struct token *t = &job->token;
    struct p11_error err = { 0 };

    job->new.label = job->wanted.label;
    job->new.id = job->wanted.id;
    if (p11_generate_pair(t->slot, t->session, &job->new, private_key, &err) ==
        CKR_OK)
        return CLI_OK;
    if (!p11_generate_is_unknown(err.rv))
        return token_fail(&err);
    return cli_fail("C_GenerateKeyPair: %s (%s, a key of type %s): this token "
                    "makes no such keys; choose another --type",
                    p11_rv_info(err.rv)->name, t->slot->where, job->new.name);
}

/* A template is a wish; this is what came of it. */
static int check_made(struct job *job, CK_OBJECT_HANDLE private_key)
{
    struct token *t = &job->token;
    struct p11_made made = { 0 };
    struct p11_error err = { 0 };
    int status = CLI_OK;

    if (p11_generate_read(t->slot, t->session, private_key, &made, &err) !=
        CKR_OK) {
        status = token_fail(&err);
        cli_warn("%s: the key was made, but cannot be looked at (%s); see "
                 "keygen --if-missing",
                 t->slot->where, job->wanted.uri);
    } else if (!made.sensitive || made.extractable) {
        status = cli_fail("%s: the key was made, but the token says that it is "
                          "%s; delete it (%s)",
                          t->slot->where,
                          made.extractable ? "extractable" : "not sensitive",
                          job->wanted.uri);
    } else if (made.more_uses) {
        cli_warn("%s: the new key can do more than sign (CKA_DECRYPT, "
                 "CKA_UNWRAP or CKA_DERIVE), since the token did not let "
                 "that be refused",
                 t->slot->where);
    }
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
