/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake token's profiles: what tokens do differently, as data, and how each
 * shows a key pair.
 *
 * The CloudHSM profile follows what is known of AWS CloudHSM's Client SDK 5.
 * Where nothing is known it is strict: what passes here must not depend on
 * the token's good will.
 */
#include <stdio.h>
#include <string.h>
#include "fake_internal.h"

static const CK_ULONG none[] = { CK_UNAVAILABLE_INFORMATION };

static const CK_MECHANISM_TYPE standard_mechanisms[] = {
    CKM_RSA_PKCS,
    CKM_RSA_PKCS_PSS,
    CKM_RSA_X_509,
    CKM_ECDSA,
    CKM_EDDSA,
    CKM_ML_DSA,
    CK_UNAVAILABLE_INFORMATION
};

const struct fake_profile fake_standard = {
    .name = "standard",
    .first_slot = 1,
    .token_flags =
        CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED | CKF_TOKEN_INITIALIZED,
    .label = "fake",
    .pin = "1234",
    .unsupported = none,
    .not_private = none,
    .mechanisms = standard_mechanisms,
};

/* EdDSA there has a vendor's number, which is not known here. */
static const CK_MECHANISM_TYPE cloudhsm_mechanisms[] = {
    CKM_RSA_PKCS, CKM_RSA_PKCS_PSS, CKM_RSA_X_509, CKM_ECDSA,
    CK_UNAVAILABLE_INFORMATION
};

static const CK_ATTRIBUTE_TYPE cloudhsm_unsupported[] = {
    CKA_ALWAYS_AUTHENTICATE,
    CKA_ALLOWED_MECHANISMS,
    CKA_PUBLIC_KEY_INFO,
    CKA_SUBJECT,
    CKA_START_DATE,
    CKA_END_DATE,
    CKA_COPYABLE,
    CK_UNAVAILABLE_INFORMATION
};

static const CK_ATTRIBUTE_TYPE cloudhsm_not_private[] = {
    CKA_EC_POINT, CK_UNAVAILABLE_INFORMATION
};

const struct fake_profile fake_cloudhsm = {
    .name = "cloudhsm",
    .first_slot = 0x2000000000000001UL,
    .token_flags = CKF_LOGIN_REQUIRED | CKF_TOKEN_INITIALIZED, /* 0x404 */
    .fixed_flags = true,
    .read_write_only = true,
    .no_callback = true,
    .hidden_before_login = true,
    .login_outlives = true,
    .user_in_pin = true,
    .pair_by_check_value = true,
    .pin_tries = 5,
    .label = "hsm1",
    .pin = "user:password",
    .unsupported = cloudhsm_unsupported,
    .not_private = cloudhsm_not_private,
    .mechanisms = cloudhsm_mechanisms,
};

void fake_reset(struct fake *fake)
{
    fake_reset_to(fake, &fake_standard);
}

void fake_profile_cloudhsm(struct fake *fake)
{
    fake_reset_to(fake, &fake_cloudhsm);
}

/* An object's attributes while they are collected. */
struct collection {
    size_t n;
    struct fake_attribute attributes[FAKE_MAX_ATTRIBUTES];
};

static void add(struct collection *to, CK_ATTRIBUTE_TYPE type,
                const void *value, size_t len)
{
    if (to->n == FAKE_MAX_ATTRIBUTES)
        fake_die("too many attributes", "of a key");
    to->attributes[to->n++] = (struct fake_attribute){ type, value, len };
}

/* One that the key's description may leave out. */
static void add_bytes(struct collection *to, CK_ATTRIBUTE_TYPE type,
                      const struct fake_bytes *bytes)
{
    if (bytes->data != NULL)
        add(to, type, bytes->data, bytes->len);
}

static const CK_BBOOL yes = CK_TRUE;
static const CK_BBOOL no = CK_FALSE;

/* What both halves have; class and label are kept until the object is made. */
static void add_common(struct collection *to, const struct fake *fake,
                       const struct fake_key *key, const CK_OBJECT_CLASS *class,
                       const char *label)
{
    static const struct fake_bytes empty = { "", 0 };

    add(to, CKA_CLASS, class, sizeof(*class));
    add(to, CKA_KEY_TYPE, &key->type, sizeof(key->type));
    add(to, CKA_TOKEN, &yes, sizeof(yes));
    add(to, CKA_LABEL, label, strlen(label));
    add_bytes(to, CKA_ID,
              fake->profile->pair_by_check_value ? &empty : &key->id);
    add_bytes(to, CKA_MODULUS, &key->modulus);
    add_bytes(to, CKA_PUBLIC_EXPONENT, &key->exponent);
    add_bytes(to, CKA_EC_PARAMS, &key->ec_params);
    if (key->parameter_set != 0)
        add(to, CKA_PARAMETER_SET, &key->parameter_set,
            sizeof(key->parameter_set));
    add_bytes(to, CKA_CHECK_VALUE, &key->check_value);
}

static void make_label(char label[256], const struct fake *fake,
                       const struct fake_key *key, const char *suffix)
{
    if (!fake->profile->pair_by_check_value)
        suffix = "";
    if (snprintf(label, 256, "%s%s", key->label, suffix) >= 256)
        fake_die("label too long", key->label);
}

static size_t add_private(struct fake *fake, size_t slot,
                          const struct fake_key *key)
{
    static const CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    struct collection object = { .n = 0 };
    char label[256];

    make_label(label, fake, key, "_private");
    add_common(&object, fake, key, &class, label);
    add(&object, CKA_PRIVATE, &yes, sizeof(yes));
    add(&object, CKA_SENSITIVE, &yes, sizeof(yes));
    add(&object, CKA_EXTRACTABLE, &no, sizeof(no));
    add(&object, CKA_SIGN, key->no_sign ? &no : &yes, sizeof(no));
    add(&object, CKA_ALWAYS_AUTHENTICATE, key->always_authenticate ? &yes : &no,
        sizeof(no));
    if (key->point_on_private)
        add_bytes(&object, CKA_EC_POINT, &key->ec_point);
    add_bytes(&object, CKA_PUBLIC_KEY_INFO, &key->info);
    return fake_add_object(fake, slot, object.attributes, object.n);
}

static size_t add_public(struct fake *fake, size_t slot,
                         const struct fake_key *key)
{
    static const CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    struct collection object = { .n = 0 };
    char label[256];

    make_label(label, fake, key, "_pub");
    add_common(&object, fake, key, &class, label);
    /* CloudHSM's public keys are CKA_PRIVATE too. */
    add(&object, CKA_PRIVATE, fake->profile->pair_by_check_value ? &yes : &no,
        sizeof(no));
    add(&object, CKA_VERIFY, &yes, sizeof(yes));
    add_bytes(&object, CKA_EC_POINT, &key->ec_point);
    add_bytes(&object, CKA_VALUE, &key->value);
    return fake_add_object(fake, slot, object.attributes, object.n);
}

struct fake_pair fake_add_key(struct fake *fake, size_t slot,
                              const struct fake_key *key)
{
    struct fake_pair pair = { .private_key = add_private(fake, slot, key),
                              .public_key = FAKE_MAX_OBJECTS };

    if (!key->no_public)
        pair.public_key = add_public(fake, slot, key);
    return pair;
}
