/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "quirks.h"

static const struct {
    const char *file; /* the module's file name begins with this */
    unsigned quirks;
} module_quirks[] = {
    /*
     * AWS CloudHSM counts a PIN without ':' as a failed login, and refuses a
     * template with what it does not know.
     */
    { "libcloudhsm_pkcs11", P11_QUIRK_PIN_USER | P11_QUIRK_NO_RECOVER },
    { "libtpm2_pkcs11", P11_QUIRK_REFUSES_GENERALLY },
};

static const struct {
    const char *name;
    unsigned bit;
} quirk_names[] = {
    { "no-deinit", P11_QUIRK_NO_DEINIT },
    { "no-allowed-mechanisms", P11_QUIRK_NO_ALLOWED_MECHANISMS },
    /* These name what we never do. */
    { "no-operation-state", 0 },
    { "no-session-callbacks", 0 },
};

unsigned p11_quirks(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *file = slash != NULL ? slash + 1 : path;

    for (size_t i = 0; i < sizeof(module_quirks) / sizeof(module_quirks[0]);
         i++) {
        const char *prefix = module_quirks[i].file;

        if (strncmp(file, prefix, strlen(prefix)) == 0)
            return module_quirks[i].quirks;
    }
    return 0;
}

bool p11_quirk_by_name(const char *name, size_t len, unsigned *bit)
{
    for (size_t i = 0; i < sizeof(quirk_names) / sizeof(quirk_names[0]); i++) {
        if (strlen(quirk_names[i].name) == len &&
            memcmp(quirk_names[i].name, name, len) == 0) {
            *bit = quirk_names[i].bit;
            return true;
        }
    }
    return false;
}
