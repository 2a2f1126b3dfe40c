/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token as the sub-commands see it that list, make and store objects: what
 * OpenSSL's public API has no words for.  They go to the PKCS #11 module
 * directly, which is the one that the provider would load, with the same
 * options and the same PIN.
 *
 * One convention: what returns int returns an exit status, CLI_OK or CLI_FAILED
 * after the reason was said in one line.  All of it may block on the token.
 */
#ifndef HSMSIGN_TOKEN_H
#define HSMSIGN_TOKEN_H

#include <stdbool.h>
#include <openssl/conf.h>
#include "pkcs11/module.h"
#include "pkcs11/session.h"
#include "pkcs11/slot.h"
#include "pkcs11/uri.h"
#include "provider/config.h"

/* All zero is closed. */
struct token {
    struct prov_config config;
    struct p11_uri *uri; /* what was asked for */
    struct p11_module *module;
    struct p11_slot *slot;       /* the module's; NULL: none entered */
    struct p11_session *session; /* of slot */
};

/* hsmsign_token.c */

/*
 * The options in conf as the provider reads them there, and the environment's.
 * Returns false when memory is short; what is wrong with a value is in
 * config->error.  *config is to be freed with prov_config_free().
 */
bool token_config(const CONF *conf, struct prov_config *config);

/* Parse uri and read OpenSSL's configuration: *t has no module yet. */
int token_read(struct token *t, const char *uri);
/* The same, and load the module. */
int token_open(struct token *t, const char *uri);
/* The one token that t->uri names. */
int token_find(struct token *t, struct p11_slot **slot);

/* Whose PIN to log in with. */
enum token_pin {
    TOKEN_PIN_NONE, /* do not log in */
    TOKEN_PIN_URI,  /* the URI's, or ask */
    TOKEN_PIN_ANY   /* the URI's, the configuration's, or ask */
};

/* Open a session of slot and log in; to be left before another is entered. */
int token_enter(struct token *t, struct p11_slot *slot, enum token_pin pin);
void token_leave(struct token *t);
void token_close(struct token *t);

/* Say what err says. */
int token_fail(const struct p11_error *err);

/* hsmsign_object.c */

/* "brainpoolP512t1" is the longest curve there is. */
#define OBJECT_KIND_MAX 32

/* A private key, public key or certificate. */
struct object {
    CK_OBJECT_HANDLE handle;
    CK_OBJECT_CLASS class;
    /* As the token has them, owned; not present where it has none. */
    struct p11_uri_value label, id;
    char kind[OBJECT_KIND_MAX]; /* "rsa:2048", "ec:P-256", "ed25519", "0x1f" */
    /* Private keys; more_uses: it decrypts, unwraps or derives. */
    bool may_sign, more_uses, sensitive, extractable;
    unsigned char *cert; /* DER, owned; certificates */
    size_t cert_len;
    char *uri; /* owned; see object_name() */
    bool uri_has_label;
};

struct objects {
    struct object *list; /* owned */
    size_t count;
};

/*
 * Add to *found all objects of the class that have the label and the id, each
 * of which may be NULL or not present: any.  Only a certificate's CKA_VALUE
 * is ever asked for.
 */
int objects_find(struct token *t, CK_OBJECT_CLASS class,
                 const struct p11_uri_value *label,
                 const struct p11_uri_value *id, struct objects *found);
void objects_free(struct objects *objects);

/*
 * Fill in the pkcs11: URI (RFC 7512) that names an object of the token entered
 * with this class, label and id: by as many of the token's attributes as tell
 * it from the module's other tokens, by label, id and type, without PIN.  It
 * stays NULL when there is neither a label nor an id that a URI can hold.
 * Returns false when memory is short.  Done already for what was found.
 */
bool object_name(const struct token *t, struct object *object);

/* Whether the URI of a names b too. */
bool object_shares_name(const struct object *a, const struct object *b);

/* "private key", "public key" or "certificate". */
const char *object_class_name(CK_OBJECT_CLASS class);
/* "private", "public" or "cert", as in a URI's type=. */
const char *object_type(CK_OBJECT_CLASS class);

#endif
