/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config.h"
#include "json_file.h"
#include "pkcs11/pin.h"

/* NULL, or what is wrong with the list of hashes. */
static const char *read_hashes(const json_t *list, unsigned *digests)
{
    const json_t *each;
    size_t i;

    *digests = 0;
    if (list != NULL && json_array_size(list) == 0)
        return "hashes is not a list of names";
    json_array_foreach(list, i, each)
    {
        const char *name = json_string_value(each);
        unsigned bit = name != NULL ? request_digest_bit(name) : 0;

        if (bit == 0)
            return "hashes has a name that is none of sha224, sha256, sha384, "
                   "sha512, sha1";
        *digests |= bit;
    }
    return NULL;
}

/* NULL, or what is wrong with the profile. */
static const char *read_profile(json_t *profile, const struct options *options,
                                struct profile_source *p)
{
    const json_t *hashes = NULL;
    json_error_t why;
    int pss = options->pss != 0;

    /* "!": nothing else */
    if (json_unpack_ex(profile, &why, 0, "{s:s, s?s, s?s, s?o, s?b !}", "key",
                       &p->key, "cert", &p->cert, "chain", &p->chain, "hashes",
                       &hashes, "pss", &pss) != 0)
        return "it takes key (a URI), cert, chain, hashes and pss, no more";
    p->pss = pss != 0;
    if (strlen(p->name) >= USERS_NAME_MAX ||
        strspn(p->name, USERS_NAME_LETTERS) != strlen(p->name))
        return "its name has to be of letters, digits, '.', '_' and '-', 64 at "
               "most";
    return read_hashes(hashes, &p->digests);
}

static struct config *config_new(size_t n)
{
    return calloc(1, sizeof(struct config) + n * sizeof(struct profile_source));
}

static struct config *from_file(const struct options *options, json_t *file,
                                char *error, size_t size)
{
    json_t *list = json_object_get(file, "profiles"), *each;
    struct config *config = NULL;
    const char *name, *wrong = NULL;

    if (json_object_size(list) == 0) {
        (void)snprintf(error, size, "profiles is not an object with profiles");
        return NULL;
    }
    config = config_new(json_object_size(list));
    json_object_foreach(list, name, each)
    {
        if (config == NULL || wrong != NULL)
            break;
        config->list[config->n].name = name;
        wrong = read_profile(each, options, &config->list[config->n++]);
        if (wrong != NULL)
            (void)snprintf(error, size, "profile %s: %s", name, wrong);
    }
    if (wrong != NULL) {
        free(config);
        config = NULL;
    }
    return config;
}

struct config *config_load(const struct options *options, char *error,
                           size_t size)
{
    struct config *config = NULL;
    json_t *file;

    (void)snprintf(error, size, "out of memory");
    if (options->profiles == NULL) {
        config = config_new(1);
        if (config != NULL) {
            config->n = 1;
            config->list[0] = (struct profile_source){
                .name = CONFIG_DEFAULT,
                .key = options->key,
                .cert = options->cert,
                .chain = options->chain,
                .pss = options->pss != 0,
            };
        }
        return config;
    }
    file = json_file_load(options->profiles, error, size);
    if (file != NULL)
        config = from_file(options, file, error, size);
    if (config != NULL)
        config->file = file;
    else
        json_decref(file);
    return config;
}

void config_free(struct config *config)
{
    for (size_t i = 0; config != NULL && i < config->n; i++)
        p11_pin_free(config->list[i].pin);
    if (config != NULL)
        json_decref(config->file);
    free(config);
}
