/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a URI to a session with a token, without OpenSSL's store in between.
 *
 * The provider may be in the same process, from its own file and with its own
 * copy of pkcs11/: then it is the module that knows who is logged in, and it
 * is asked before a PIN is, so that nobody types a PIN twice.
 */
#include "hsmsign_token.h"

#include <string.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/ui.h>
#include "hsmsign_tool.h"
#include "pkcs11/calls.h"
#include "pkcs11/login.h"

/* The section of openssl.cnf from which prov_config_load() reads here. */
struct section {
    const CONF *conf;
    const char *name; /* NULL: there is none */
    const char *provider;
};

/* Stands in for the core: answers options from a section of the file. */
static int get_params(const OSSL_CORE_HANDLE *handle, OSSL_PARAM params[])
{
    const struct section *section = (const struct section *)handle;

    ERR_set_mark();
    for (OSSL_PARAM *p = params; p->key != NULL; p++) {
        const char *value = NULL;

        if (strcmp(p->key, "provider-name") == 0)
            value = section->provider;
        else if (section->name != NULL)
            value = NCONF_get_string(section->conf, section->name, p->key);
        if (value != NULL && !OSSL_PARAM_set_utf8_ptr(p, value))
            break;
    }
    /* That an option is absent is an error for NCONF only. */
    ERR_pop_to_mark();
    return 1;
}

bool token_config(const CONF *conf, struct prov_config *config)
{
    struct section section = { conf, NULL, "hsmsign" };

    section.name = prov_config_section(conf, &section.provider);
    memset(config, 0, sizeof(*config));
    return prov_config_load(config, (const OSSL_CORE_HANDLE *)&section,
                            get_params) != 0;
}

int token_fail(const struct p11_error *err)
{
    /* Tokens that use libcrypto leave errors of their own in our queue. */
    ERR_clear_error();
    return cli_fail("%s: %s", p11_rv_info(err->rv)->reason, err->text);
}

/* A file that is not there is no error: the environment may suffice. */
static int read_config(struct token *t)
{
    CONF *conf = NCONF_new(NULL);
    char *file = CONF_get1_default_config_file();
    struct p11_error err = { 0 };
    long line = -1;
    int status = CLI_OK;

    if (conf == NULL || file == NULL)
        status = cli_fail("configuration");
    else if (NCONF_load(conf, file, &line) <= 0 && line > 0)
        status = cli_fail("configuration %s, line %ld", file, line);
    else if (!token_config(conf, &t->config))
        status = cli_fail("configuration %s", file);
    else if (prov_config_check(&t->config, &err) != CKR_OK)
        status = token_fail(&err);
    OPENSSL_free(file);
    NCONF_free(conf);
    ERR_clear_error();
    return status;
}

int token_read(struct token *t, const char *uri)
{
    struct p11_error err = { 0 };

    memset(t, 0, sizeof(*t));
    if (!p11_uri_has_scheme(uri))
        return cli_fail("%s is no pkcs11: URI", uri);
    if (p11_uri_parse(uri, &t->uri, &err) != CKR_OK)
        return token_fail(&err);
    /* It chooses code to run: not for whoever gives the URI. */
    if (t->uri->module_path.present || t->uri->module_name.present)
        return cli_fail("module-path and module-name are not taken from a "
                        "URI; set pkcs11-module-path or HSM_MODULE");
    return read_config(t);
}

int token_open(struct token *t, const char *uri)
{
    struct p11_module_config wanted;
    struct p11_error err = { 0 };
    int status = token_read(t, uri);

    if (status != CLI_OK)
        return status;
    prov_config_module(&t->config, &wanted);
    if (p11_module_open(&wanted, &t->module, &err) != CKR_OK)
        return token_fail(&err);
    ERR_clear_error();
    return CLI_OK;
}

int token_find(struct token *t, struct p11_slot **slot)
{
    struct p11_error err = { 0 };

    if (p11_slot_find(t->module, t->uri, slot, &err) != CKR_OK)
        return token_fail(&err);
    return CLI_OK;
}

static bool ask_for_pin(void *arg, const char *label, char *buf, size_t size,
                        size_t *len)
{
    UI *ui = UI_new_method(UI_OpenSSL());
    char prompt[80];
    bool answered;

    (void)arg;
    (void)snprintf(prompt, sizeof(prompt), "PIN of token \"%s\":", label);
    answered = ui != NULL &&
               UI_add_input_string(ui, prompt, 0, buf, 1, (int)size - 1) > 0 &&
               UI_process(ui) == 0;
    UI_free(ui);
    *len = answered ? strlen(buf) : 0;
    return answered;
}

/* The whole process is logged in, or none of it (PKCS #11 v2.40, 5.6). */
static bool is_logged_in(const struct token *t)
{
    CK_SESSION_INFO info = { 0 };

    return P11_CALL(t->module->fl, C_GetSessionInfo, t->session->handle,
                    &info) == CKR_OK &&
           info.state == CKS_RW_USER_FUNCTIONS;
}

int token_enter(struct token *t, struct p11_slot *slot, enum token_pin pin)
{
    const struct p11_pin_request request = {
        .uri = &t->uri->pin,
        .config = pin == TOKEN_PIN_ANY ? &t->config.pin : NULL,
        .prompt = ask_for_pin,
    };
    struct p11_error err = { 0 };
    CK_RV rv = p11_session_borrow(slot, &t->session, &err);

    if (rv != CKR_OK)
        return token_fail(&err);
    t->slot = slot;
    if (pin != TOKEN_PIN_NONE && !is_logged_in(t))
        rv = p11_slot_login(slot, t->session, &request, 0, &err);
    if (rv != CKR_OK)
        return token_fail(&err);
    ERR_clear_error();
    return CLI_OK;
}

void token_leave(struct token *t)
{
    if (t->slot != NULL)
        p11_session_give_back(t->slot, t->session, CKR_OK);
    t->slot = NULL;
    t->session = NULL;
}

void token_close(struct token *t)
{
    token_leave(t);
    p11_module_close(t->module);
    p11_uri_free(t->uri);
    prov_config_free(&t->config);
    memset(t, 0, sizeof(*t));
}
