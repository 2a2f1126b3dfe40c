/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include "call.h"
#include "log.h"
#include "metrics.h"
#include "web.h"

#define TEXT      "text/plain; charset=utf-8"
#define NO_MEMORY "out of memory"
#define TOO_LARGE "the body is too large"

static const struct {
    const char *path, *allow; /* the methods */
} paths[] = {
    [CALL_ROOT] = { "/", "GET,HEAD" },
    [CALL_HEALTH] = { "/healthz", "GET,HEAD" },
    [CALL_READY] = { "/readyz", "GET,HEAD" },
    [CALL_METRICS] = { "/metrics", "GET,HEAD" },
    [CALL_SIGN] = { "/sign", "POST,OPTIONS" },
    [CALL_WEB] = { "/web", "GET,HEAD" },
    [CALL_NOWHERE] = { "", "" },
};

void call_text(struct call *c, unsigned status, const char *text)
{
    (void)fault_set(&c->answer, (int)status, "%s", text);
}

static const char *header(const struct call *c, const char *name)
{
    return MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, name);
}

static void choose_id(struct call *c)
{
    const char *given = header(c, "X-Request-Id");
    unsigned char random[8] = { 0 };
    size_t len = given != NULL ? strlen(given) : 0;

    if (len > 0 && len <= CALL_ID_MAX &&
        strspn(given, USERS_NAME_LETTERS) == len) {
        memcpy(c->id, given, len);
        return;
    }
    (void)RAND_bytes(random, sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++)
        (void)snprintf(c->id + 2 * i, 3, "%02x", random[i]);
}

/*
 * As Express finds them: any case, with or without the slash behind.  A profile
 * may follow: /sign/NAME.
 */
static enum call_path find_path(const char *url, bool web,
                                char profile[USERS_NAME_MAX])
{
    static const char sign[] = "/sign/", page[] = "/web/";
    size_t len = strlen(url), start = strlen(sign);
    enum call_path path = CALL_ROOT;

    profile[0] = '\0';
    if (strncasecmp(url, sign, start) == 0) {
        size_t n = strspn(url + start, USERS_NAME_LETTERS);

        if (n < USERS_NAME_MAX &&
            (url[start + n] == '\0' || strcmp(url + start + n, "/") == 0)) {
            (void)snprintf(profile, USERS_NAME_MAX, "%.*s", (int)n,
                           url + start);
            return CALL_SIGN;
        }
    }

    if (web && strncmp(url, page, strlen(page)) == 0)
        return CALL_WEB;
    len -= len > 1 && url[len - 1] == '/';
    while (path < CALL_NOWHERE &&
           (strlen(paths[path].path) != len ||
            strncasecmp(paths[path].path, url, len) != 0))
        path++;
    return path == CALL_WEB && !web ? CALL_NOWHERE : path;
}

/* Whether list, separated by commas, has the item. */
static bool is_listed(const char *list, const char *item)
{
    size_t len = strlen(item);

    while (list != NULL && *list != '\0') {
        size_t n = strcspn(list, ",");

        if (n == len && strncmp(list, item, n) == 0)
            return true;
        list += n + (list[n] == ',');
    }
    return false;
}

static enum MHD_Result count_length(void *arg, enum MHD_ValueKind kind,
                                    const char *name, const char *value)
{
    int *count = arg;

    (void)kind;
    (void)value;
    *count += strcasecmp(name, "Content-Length") == 0 ||
              strcasecmp(name, "Transfer-Encoding") == 0;
    return MHD_YES;
}

/* What the head alone decides. */
static void check_head(struct call *c)
{
    const char *length = header(c, "Content-Length");
    const char *origin = header(c, "Origin"), *host = header(c, "Host");
    const char *coding = header(c, "Content-Encoding");
    int lengths = 0;

    /* A proxy in front may have taken the other one: RFC 9112, 6.3. */
    (void)MHD_get_connection_values(c->connection, MHD_HEADER_KIND,
                                    count_length, &lengths);
    c->closes = lengths > 1;
    if (origin != NULL &&
        (is_listed(c->options->origins, origin) ||
         (c->options->web != NULL && host != NULL && web_is_own(origin, host))))
        c->origin = origin;
    if (c->closes)
        call_text(c, MHD_HTTP_BAD_REQUEST,
                  "more than one Content-Length or Transfer-Encoding");
    else if (c->path == CALL_NOWHERE)
        call_text(c, MHD_HTTP_NOT_FOUND, "Not found");
    else if (!is_listed(paths[c->path].allow, c->method))
        call_text(c, MHD_HTTP_METHOD_NOT_ALLOWED, "Method not allowed");
    else if (c->path == CALL_SIGN && origin != c->origin)
        /* A page that a browser shows is not to sign behind its user's back. */
        call_text(c, MHD_HTTP_FORBIDDEN, "this origin is not allowed to sign");
    else if (strcmp(c->method, "OPTIONS") == 0)
        call_text(c, MHD_HTTP_NO_CONTENT, "");
    else if (coding != NULL && strcasecmp(coding, "identity") != 0)
        call_text(c, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                  "send the body without Content-Encoding");
    else if (length != NULL &&
             strtoull(length, NULL, 10) > (uint64_t)c->options->body << 20)
        call_text(c, MHD_HTTP_CONTENT_TOO_LARGE, TOO_LARGE);
}

struct call *call_begin(struct MHD_Connection *connection, const char *url,
                        const char *method, const struct options *options,
                        struct generations *generations)
{
    struct call *c = calloc(1, sizeof(*c));
    char profile[USERS_NAME_MAX];

    if (c == NULL)
        return NULL;
    c->connection = connection;
    c->generations = generations;
    c->generation = generations_get(generations);
    c->options = options;
    c->begin = pool_now();
    c->method = method;
    c->url = url;
    c->path = find_path(url, options->web != NULL, profile);
    c->type = TEXT;
    request_begin(&c->request, options, c->generation->users, profile);
    choose_id(c);
    check_head(c);
    return c;
}

bool call_feed(struct call *c, const char *data, size_t len)
{
    uint64_t max = (uint64_t)c->options->body << 20;

    c->size += len;
    if (c->size > max && c->answer.status == 0)
        call_text(c, MHD_HTTP_CONTENT_TOO_LARGE, TOO_LARGE);
    if (c->path == CALL_SIGN && c->answer.status == 0)
        request_feed(&c->request, data, len);
    return c->size <= 2 * max;
}

/* Whether it signs for what the attributes say, so far as they say it. */
static bool is_named(const struct profile *p, const struct request *r)
{
    return p != NULL && (r->action != ACTION_SIGN || !r->cades ||
                         profile_attributes(p, r) == NULL);
}

bool call_choose(struct call *c)
{
    const struct request *r = &c->request;
    const char *name = r->who.profile;
    struct generation *g = NULL;

    c->profile = generation_find(c->generation, name);
    if (c->profile == NULL) {
        call_text(c, MHD_HTTP_NOT_FOUND, "there is no such profile");
        return false;
    }
    if (c->profile->digests != 0 && r->digest_bit != 0 &&
        (c->profile->digests & r->digest_bit) == 0)
        return fault_set(&c->answer, MHD_HTTP_BAD_REQUEST,
                         "hash_algorithm %s is not for this profile", r->name);
    if (is_named(c->profile, r))
        return true;
    g = generations_get(c->generations);
    while (g != NULL && !is_named(generation_find(g, name), r))
        g = generations_older(c->generations, g);
    if (g != NULL) {
        c->signer = g;
        c->profile = generation_find(g, name);
    }
    return true;
}

void call_json(struct call *c, const char *json)
{
    c->body = BIO_new(BIO_s_mem());
    c->type = "application/json";
    c->answer.status = MHD_HTTP_OK;
    if (c->body != NULL && BIO_puts(c->body, json) > 0)
        return;
    BIO_free(c->body);
    c->body = NULL;
    c->type = TEXT;
    call_text(c, MHD_HTTP_INTERNAL_SERVER_ERROR, NO_MEMORY);
}

void call_signature(struct call *c)
{
    char *text, *json = NULL;

    c->type = "application/octet-stream";
    c->answer.status = MHD_HTTP_OK;
    if (c->request.action != ACTION_WEB)
        return;
    text = base64_encode(c->body);
    BIO_free(c->body);
    c->body = NULL;
    if (text == NULL || asprintf(&json, "{\"p7\":\"%s\"}", text) < 0) {
        c->type = TEXT;
        call_text(c, MHD_HTTP_INTERNAL_SERVER_ERROR, NO_MEMORY);
    } else {
        call_json(c, json);
        free(json);
    }
    OPENSSL_free(text);
}

void call_audit(struct call *c, struct audit *audit)
{
    const struct request *r = &c->request;
    unsigned char cert[SHA256_DIGEST_LENGTH] = { 0 };
    struct audit_entry e = {
        .id = c->id,
        .user = r->who.user,
        .profile = c->profile->name,
        .action = request_action_name(r->action),
        .hash = r->name,
        .digest = r->digest,
        .digest_len = r->digest_len,
        .certificate = cert,
        .status = c->answer.status,
        .good = c->body != NULL,
        .ms = pool_now() - c->begin,
    };

    if (audit == NULL)
        return;
    (void)X509_digest(c->profile->signer.cert, EVP_sha256(), cert, NULL);
    if (audit_write(audit, &e, NULL))
        return;
    log_event(LOG_ERROR, "audit", "{s:s, s:s, s:s}", "id", c->id, "file",
              c->options->audit, "reason", "the line cannot be written");
    if (c->options->audit_optional != 0)
        return;
    BIO_free(c->body);
    c->body = NULL;
    c->type = TEXT;
    call_text(c, MHD_HTTP_SERVICE_UNAVAILABLE,
              "the audit log cannot be written; try again");
}

static void add_headers(const struct call *c, struct MHD_Response *r,
                        bool closing)
{
    int status = c->answer.status;
    bool lists =
        status == MHD_HTTP_METHOD_NOT_ALLOWED || status == MHD_HTTP_NO_CONTENT;
    const struct {
        bool add;
        const char *name, *value;
    } headers[] = {
        { status != MHD_HTTP_NO_CONTENT, "Content-Type", c->type },
        { true, "X-Request-Id", c->id },
        { true, "Cache-Control", "no-store" },
        { true, "X-Content-Type-Options", "nosniff" },
        { status == MHD_HTTP_SERVICE_UNAVAILABLE ||
              status == MHD_HTTP_TOO_MANY_REQUESTS,
          "Retry-After", "1" },
        { lists, "Allow", paths[c->path].allow },
        { c->origin != NULL, "Access-Control-Allow-Origin", c->origin },
        { c->origin != NULL, "Access-Control-Allow-Methods", "POST" },
        { c->origin != NULL, "Access-Control-Allow-Headers",
          "Content-Type, X-Request-Id" },
        { c->path == CALL_SIGN, "Vary", "Origin" },
        { c->path == CALL_WEB, "Content-Security-Policy", WEB_POLICY },
        { closing || c->closes, "Connection", "close" },
    };

    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        if (headers[i].add)
            (void)MHD_add_response_header(r, headers[i].name, headers[i].value);
    }
}

enum MHD_Result call_answer(struct call *c, bool closing)
{
    enum MHD_Result result;
    char *data = c->answer.text;
    size_t len = strlen(data);
    struct MHD_Response *response;

    if (c->body != NULL)
        len = (size_t)BIO_get_mem_data(c->body, &data);
    response =
        MHD_create_response_from_buffer(len, data, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    add_headers(c, response, closing);
    result =
        MHD_queue_response(c->connection, (unsigned)c->answer.status, response);
    MHD_destroy_response(response);
    c->answered = result == MHD_YES;
    return result;
}

static void print_remote(const struct call *c, char *text, socklen_t size)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        c->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *a = info != NULL ? info->client_addr : NULL;

    if (a != NULL && a->sa_family == AF_INET)
        (void)inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr,
                        text, size);
    else if (a != NULL && a->sa_family == AF_INET6)
        (void)inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)a)->sin6_addr,
                        text, size);
}

void call_end(struct call *c)
{
    static const char known[] = "GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS";
    const struct request *r = &c->request;
    bool good = c->answer.status < MHD_HTTP_BAD_REQUEST;
    char remote[INET6_ADDRSTRLEN] = "";

    print_remote(c, remote, sizeof(remote));
    log_event(LOG_INFO, "request",
              "{s:s, s:s, s:s, s:s, s:i, s:s, s:b, s:s, s:s, s:s, s:s, s:I, "
              "s:I}",
              "id", c->id, "remote", remote, "method",
              is_listed(known, c->method) ? c->method : "other", "path",
              paths[c->path].path, "status", c->answer.status, "reason",
              good ? "" : c->answer.text, "answered", (int)c->answered,
              "action", request_action_name(r->action), "user", r->who.user,
              "profile", c->profile != NULL ? c->profile->name : "", "hash",
              r->name != NULL ? r->name : "", "bytes", (json_int_t)c->size,
              "ms", (json_int_t)(pool_now() - c->begin));
    metrics_request(r->action, c->answer.status, pool_now() - c->begin);
    request_free(&c->request);
    BIO_free(c->body);
    generations_put(c->generations, c->signer);
    generations_put(c->generations, c->generation);
    free(c);
}
