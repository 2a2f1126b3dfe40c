/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "users.h"
#include "web.h"

#define FILE_MAX (1024L * 1024)

static const struct {
    const char *end, *type;
} types[] = {
    { ".html", "text/html; charset=utf-8" },
    { ".js", "text/javascript; charset=utf-8" },
    { ".css", "text/css; charset=utf-8" },
    { ".svg", "image/svg+xml" },
};

/* NULL: such a file is not served. */
static const char *find_type(const char *name)
{
    size_t len = strlen(name);

    if (name[0] == '.' || strspn(name, USERS_NAME_LETTERS) != len)
        return NULL;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        size_t n = strlen(types[i].end);

        if (len > n && strcmp(name + len - n, types[i].end) == 0)
            return types[i].type;
    }
    return NULL;
}

/* What fd, which is closed, has; NULL if it is no file, or a large one. */
static BIO *read_all(int fd)
{
    BIO *out = BIO_new(BIO_s_mem());
    struct stat st;
    char part[16384];
    ssize_t n = -1;

    if (out != NULL && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
        st.st_size <= FILE_MAX) {
        while ((n = read(fd, part, sizeof(part))) > 0)
            (void)BIO_write(out, part, (int)n);
    }
    (void)close(fd);
    if (n == 0)
        return out;
    BIO_free(out);
    return NULL;
}

BIO *web_read(const char *dir, const char *url, const char **type)
{
    static const char path[] = "/web/";
    const char *name =
        strlen(url) > strlen(path) ? url + strlen(path) : "index.html";
    int at, fd = -1;

    *type = find_type(name);
    if (*type == NULL)
        return NULL;
    at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (at >= 0) {
        /* A link might lead out of it, and a FIFO to nowhere. */
        fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        (void)close(at);
    }
    return fd >= 0 ? read_all(fd) : NULL;
}

/* host, of len bytes, without its port */
static bool is_address(const char *host, size_t len)
{
    unsigned char address[sizeof(struct in6_addr)];
    char text[INET6_ADDRSTRLEN];

    if (len == strlen("localhost") && strncasecmp(host, "localhost", len) == 0)
        return true;
    if (len > 2 && host[0] == '[' && host[len - 1] == ']' &&
        len - 2 < sizeof(text)) {
        memcpy(text, host + 1, len - 2);
        text[len - 2] = '\0';
        return inet_pton(AF_INET6, text, address) == 1;
    }
    if (len == 0 || len >= sizeof(text))
        return false;
    memcpy(text, host, len);
    text[len] = '\0';
    return inet_pton(AF_INET, text, address) == 1;
}

bool web_is_own(const char *origin, const char *host)
{
    size_t len = strlen(host), digits = 0;

    if (strncmp(origin, "http://", 7) == 0)
        origin += 7;
    else if (strncmp(origin, "https://", 8) == 0)
        origin += 8;
    else
        return false;
    if (strcasecmp(origin, host) != 0)
        return false;
    while (digits < len && host[len - digits - 1] >= '0' &&
           host[len - digits - 1] <= '9')
        digits++;
    /* The port, if there is one. */
    if (digits > 0 && digits < len && host[len - digits - 1] == ':')
        len -= digits + 1;
    return is_address(host, len);
}
