/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A distinguished name as "openssl req -subj" takes it: each attribute begins
 * with a slash ("/C=DE/O=Example/CN=Signer"), with a plus sign if it belongs
 * to the one before it, and a backslash makes any character an ordinary one.
 * Stricter: an attribute without a value, or of an unknown type, is an error.
 */
#include <string.h>
#include <openssl/err.h>
#include "hsmsign_tool.h"

/* Copy one attribute without its backslashes; *text is moved behind it. */
static bool next_attribute(const char **text, char *type, char **value)
{
    char *out = type;
    const char *p = *text;

    *value = NULL;
    for (; *p != '\0' && *p != '/' && *p != '+'; p++) {
        if (*p == '=' && *value == NULL) {
            *out++ = '\0';
            *value = out;
            continue;
        }
        /* A type has neither, so that "/" and "+" end it as well. */
        if (*p == '\\' && p[1] != '\0')
            p++;
        *out++ = *p;
    }
    *out = '\0';
    *text = p;
    return *value != NULL && **value != '\0' && *type != '\0';
}

static bool add_attribute(X509_NAME *name, const char *type, const char *value,
                          bool joins)
{
    (void)ERR_set_mark();
    if (OBJ_txt2nid(type) == NID_undef) {
        (void)ERR_pop_to_mark();
        ERR_raise_data(ERR_LIB_X509, X509_R_INVALID_FIELD_NAME,
                       "no attribute is called \"%s\"", type);
        return false;
    }
    (void)ERR_pop_to_mark();
    return X509_NAME_add_entry_by_txt(name, type, MBSTRING_UTF8,
                                      (const unsigned char *)value, -1, -1,
                                      joins ? -1 : 0) > 0;
}

X509_NAME *subject_parse(const char *text)
{
    X509_NAME *name = X509_NAME_new();
    char *type = OPENSSL_zalloc(strlen(text) + 2), *value;
    const char *p = text;
    bool ok = name != NULL && type != NULL;

    if (ok && *p != '/') {
        ERR_raise_data(ERR_LIB_X509, X509_R_INVALID_ATTRIBUTES,
                       "a name is written as \"/CN=NAME\"");
        ok = false;
    }
    while (ok && *p != '\0') {
        bool joins = *p == '+';

        p++;
        if (next_attribute(&p, type, &value)) {
            ok = add_attribute(name, type, value, joins);
        } else {
            ERR_raise_data(ERR_LIB_X509, X509_R_INVALID_ATTRIBUTES,
                           "\"%s\" has no value, or no type", type);
            ok = false;
        }
    }
    OPENSSL_free(type);
    if (!ok) {
        X509_NAME_free(name);
        name = NULL;
    }
    return name;
}
