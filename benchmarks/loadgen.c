/* A load generator for loopback: open loop (constant arrival rate) or closed loop, checking answers.
 *
 * Built and run by benchmarks/loadgen.py. One thread, epoll, one query in flight per connection.
 * Open loop: query k is due at start + k / rate, whether or not earlier ones were answered. Its latency
 * counts from that instant, so waiting for a free connection counts too (no coordinated omission).
 * Free connections are a stack: light load keeps to a few warm ones.
 * An answer is right if it is 200, not a default, and its "output" equals the expected text or number.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_BYTES 65536
#define MARK "@@@@@@@@" /* in a body: replaced by a number counted up, for distinct queries */
#define TICK_NS 50000   /* the longest lateness that sleeping may add: cheaper than spinning */
#define GRACE_NS 3000000000LL

typedef struct { char *bytes; size_t length, mark; char *expected; } Request;
typedef struct {
    int fd;
    const char *out; size_t out_left; /* what is not written yet */
    char *own;                        /* a copy of the request, where it holds a number of its own */
    char in[ANSWER_BYTES]; size_t in_length;
    int64_t due_ns; const Request *request;
} Connection;

static struct sockaddr_in server;
static int epoll_fd;
static Request *requests; static size_t request_count, longest;
static Connection *connections; static int connection_count;
static int *free_stack; static int free_count;
static uint32_t *all_us, *default_us;
static long answered, defaults, wrong, not_ok, broken, good, sent, total;
static int64_t slo_ns;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what) { perror(what); exit(2); }

static void load_requests(const char *head, const char *bodies, const char *expected) {
    FILE *in = fopen(bodies, "r"), *answers = strcmp(expected, "-") ? fopen(expected, "r") : NULL;
    if (!in || (!answers && strcmp(expected, "-"))) die("the inputs");
    char *line = NULL, *answer = NULL;
    size_t size = 0, answer_size = 0, room = 0;
    ssize_t length;
    while ((length = getline(&line, &size, in)) > 0) {
        if (line[length - 1] == '\n') line[--length] = 0;
        if (request_count == room) requests = realloc(requests, (room = room ? room * 2 : 1024) * sizeof *requests);
        Request *request = &requests[request_count++];
        request->length = asprintf(&request->bytes, "%sContent-Length: %zd\r\n\r\n%s", head, length, line);
        char *mark = strstr(request->bytes, MARK);
        request->mark = mark ? (size_t)(mark - request->bytes) : 0;
        request->expected = NULL;
        if (answers) {
            ssize_t n = getline(&answer, &answer_size, answers);
            if (n <= 0) { fprintf(stderr, "fewer answers than bodies\n"); exit(2); }
            if (answer[n - 1] == '\n') answer[n - 1] = 0;
            request->expected = strdup(answer);
        }
        if (request->length > longest) longest = request->length;
    }
    if (!request_count) { fprintf(stderr, "no inputs\n"); exit(2); }
}

static void open_connection(Connection *c) {
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&server, sizeof server)) die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
    c->in_length = c->out_left = 0;
    c->request = NULL;
}

static void release(Connection *c) {
    c->request = NULL;
    free_stack[free_count++] = (int)(c - connections);
}

static void on_broken(Connection *c) {
    if (c->request) broken++;
    int was_busy = c->request != NULL;
    close(c->fd);
    open_connection(c);
    if (was_busy) release(c);
}

static int flush(Connection *c) {
    while (c->out_left) {
        ssize_t n = write(c->fd, c->out, c->out_left);
        if (n < 0) return errno == EAGAIN ? 0 : -1;
        c->out += n;
        c->out_left -= (size_t)n;
    }
    return 0;
}

static void send_next(int64_t due_ns) {
    Connection *c = &connections[free_stack[--free_count]];
    const Request *request = &requests[sent % (long)request_count];
    c->out = request->bytes;
    if (request->mark) {
        if (!c->own) c->own = malloc(longest + 1);
        memcpy(c->own, request->bytes, request->length);
        char digits[16];
        snprintf(digits, sizeof digits, "%08ld", sent % 100000000);
        memcpy(c->own + request->mark, digits, 8);
        c->out = c->own;
    }
    sent++;
    c->out_left = request->length;
    c->due_ns = due_ns;
    c->request = request;
    if (flush(c)) on_broken(c);
}

static int is_expected(const char *output, const char *expected) {
    size_t length = strlen(expected);
    output += *output == '"'; /* a baseline answers a model's text as a text, servd as the JSON it is */
    if (!strncmp(output, expected, length) && strchr(",}\"", output[length])) return 1;
    char *end_output, *end_expected;
    double got = strtod(output, &end_output), want = strtod(expected, &end_expected);
    return end_output != output && end_expected != expected && !*end_expected && got == want;
}

static void on_answer(Connection *c, const char *body) {
    int64_t took = now_ns() - c->due_ns;
    uint32_t us = (uint32_t)(took / 1000);
    const char *output = strstr(body, "\"output\":");
    int is_ok = !strncmp(c->in + 9, "200", 3);
    int is_default = is_ok && !strstr(body, "\"default\":false");
    int is_wrong = is_ok && !is_default && c->request->expected &&
                   !(output && is_expected(output + 9, c->request->expected));
    if (is_wrong && !wrong) fprintf(stderr, "wrong: %.200s\nexpected %.200s\n", body, c->request->expected);
    not_ok += !is_ok;
    wrong += is_wrong;
    if (is_default) default_us[defaults++] = us;
    good += is_ok && !is_default && !is_wrong && (!slo_ns || took <= slo_ns);
    all_us[answered++] = us;
    release(c);
}

/* Takes one answer off the input, where it is whole. */
static void parse(Connection *c) {
    c->in[c->in_length] = 0;
    char *body = strstr(c->in, "\r\n\r\n");
    if (!body) return;
    body += 4;
    char *field = strcasestr(c->in, "content-length:");
    size_t length = field && field < body ? strtoul(field + 15, NULL, 10) : 0;
    if ((size_t)(c->in + c->in_length - body) < length) return;
    c->in_length = 0;
    if (c->request) on_answer(c, body);
}

static void on_event(struct epoll_event *event) {
    Connection *c = event->data.ptr;
    if ((event->events & EPOLLOUT) && flush(c)) { on_broken(c); return; }
    if (!(event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    for (;;) {
        ssize_t n = read(c->fd, c->in + c->in_length, ANSWER_BYTES - 1 - c->in_length);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) { on_broken(c); return; }
        size_t asked = ANSWER_BYTES - 1 - c->in_length;
        c->in_length += (size_t)n;
        parse(c);
        if ((size_t)n < asked) return;
    }
}

static void wait_and_read(int64_t wait_ns) {
    static struct epoll_event events[1024];
    struct timespec t = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
    int n = epoll_pwait2(epoll_fd, events, 1024, &t, NULL);
    for (int i = 0; i < n; i++) on_event(&events[i]);
}

static int64_t run(double rate, double seconds, int64_t start) {
    int64_t end = start + (int64_t)(seconds * 1e9);
    while (sent < total) {
        int64_t now = now_ns(), wait = TICK_NS * 20;
        if (now >= end) break;
        while (sent < total && free_count) {
            int64_t due = rate > 0 ? start + (int64_t)((double)sent / rate * 1e9) : now;
            if (due > now) { wait = due - now < TICK_NS ? TICK_NS : due - now; break; }
            send_next(due);
            now = rate > 0 ? now : now_ns();
        }
        wait_and_read(wait);
    }
    int64_t ended = now_ns(), give_up = ended + GRACE_NS;
    while (free_count < connection_count && now_ns() < give_up) wait_and_read(TICK_NS * 20);
    return rate > 0 ? ended : now_ns();
}

/* One query on each connection, not counted: the server has accepted them all before the clock starts. */
static void warm_up(void) {
    int64_t give_up = now_ns() + 3 * GRACE_NS;
    while (free_count) send_next(now_ns());
    while (free_count < connection_count && now_ns() < give_up) wait_and_read(TICK_NS * 20);
    if (free_count < connection_count) { fprintf(stderr, "%d of %d queries got no answer while warming up\n", connection_count - free_count, connection_count); exit(2); }
    answered = defaults = wrong = not_ok = broken = good = sent = 0;
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print_quantiles(const char *name, uint32_t *us, long count) {
    const double at[] = {.5, .9, .99, .999, 1};
    const char *label[] = {"p50", "p90", "p99", "p999", "max"};
    qsort(us, (size_t)count, sizeof *us, by_size);
    printf(",\"%s\":{", name);
    for (int i = 0; i < 5; i++) {
        long index = (long)(at[i] * (double)count);
        if (index >= count) index = count - 1;
        printf("%s\"%s\":%.3f", i ? "," : "", label[i], count ? us[index] / 1000.0 : 0.0);
    }
    printf("}");
}

static void report(double rate, int64_t start, int64_t ended) {
    double elapsed = (double)(ended - start) / 1e9;
    long unanswered = connection_count - free_count, unsent = rate > 0 ? total - sent : 0;
    for (long k = sent; rate > 0 && k < total; k++) /* they waited until the end and got nothing */
        all_us[answered + k - sent] = (uint32_t)((double)(ended - start) / 1e3 - (double)k / rate * 1e6);
    printf("{\"elapsed_s\":%.3f,\"sent\":%ld,\"answered\":%ld,\"good\":%ld,\"defaults\":%ld,\"wrong\":%ld,"
           "\"not_ok\":%ld,\"broken\":%ld,\"unanswered\":%ld,\"unsent\":%ld,\"rate\":%.1f,\"goodput\":%.1f",
           elapsed, sent, answered, good, defaults, wrong, not_ok, broken, unanswered, unsent,
           (double)answered / elapsed, (double)good / elapsed);
    print_quantiles("latency_ms", all_us, answered + unsent);
    print_quantiles("default_ms", default_us, defaults);
    printf("}\n");
}

/* loadgen PORT PATH BODIES EXPECTED|- CONNECTIONS RATE|0 SECONDS COUNT|0 SLO_MS|0 */
int main(int argc, char **argv) {
    if (argc != 10) { fprintf(stderr, "nine arguments: see the source\n"); return 2; }
    char head[512];
    snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nContent-Type: application/json\r\n", argv[2], argv[1]);
    load_requests(head, argv[3], argv[4]);
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection_count = atoi(argv[5]);
    double rate = atof(argv[6]), seconds = atof(argv[7]);
    long count = atol(argv[8]);
    slo_ns = (int64_t)(atof(argv[9]) * 1e6);
    total = count ? count : rate > 0 ? (long)(rate * seconds) : (long)(seconds * 400000) + 1000;
    if (count && rate <= 0) seconds = 1e7;
    if (count && rate > 0) seconds = (double)count / rate;
    all_us = malloc(sizeof *all_us * (size_t)(total + connection_count));
    default_us = malloc(sizeof *default_us * (size_t)(total + connection_count));
    epoll_fd = epoll_create1(0);
    prctl(PR_SET_TIMERSLACK, 1000);
    connections = calloc((size_t)connection_count, sizeof *connections);
    free_stack = malloc(sizeof *free_stack * (size_t)connection_count);
    for (int i = 0; i < connection_count; i++) {
        open_connection(&connections[connection_count - 1 - i]);
        free_stack[free_count++] = connection_count - 1 - i;
    }
    warm_up();
    int64_t start = now_ns();
    int64_t ended = run(rate, seconds, start);
    report(rate, start, ended);
    return 0;
}
