#!/usr/bin/perl
# serve_load.pl HOST:PORT SEED ACKED [SECONDS] - asks a node all kinds of things on one connection until it is gone, or
# for so long. A line "id value" goes to ACKED for each record that was acknowledged; value is its first component.
# Leaves with 0 when every answer was one that may be.
use strict;
use warnings;
use IO::Socket::INET;
use Time::HiRes 'time';

my ($where, $seed, $file, $seconds) = @ARGV;
my $end = time + ($seconds // 60);
open my $acked, '>>', $file or die "$file: $!";
$acked->autoflush(1);
$SIG{PIPE} = 'IGNORE';
srand $seed;
my ($socket, $next, $node, $last) = (undef, $seed * 1_000_000, undef, undef);
my %may = map { $_ => 1 } 200, 404, 409, 410, 503, 507;

# The status and the body, or nothing when the node is gone.
sub ask {
	my ($method, $path, $body) = @_;
	$socket //= IO::Socket::INET->new($where) or return;
	$body //= '';
	my $text = "$method $path HTTP/1.1\r\nHost: localhost\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
	syswrite($socket, $text) == length $text or return;
	my $answer = '';
	while ($answer !~ /\r\n\r\n/) { sysread($socket, $answer, 65536, length $answer) or return }
	my ($head, $rest) = split /\r\n\r\n/, $answer, 2;
	my ($status) = $head =~ m{^HTTP/1\.1 (\d+)} or return;
	if (my ($size) = $head =~ /^Content-Length: (\d+)/mi) {
		while (length $rest < $size) { sysread($socket, $rest, 65536, length $rest) or return }
	} else {
		while ($rest !~ /0\r\n\r\n$/) { sysread($socket, $rest, 65536, length $rest) or return }
	}
	undef $socket if $head =~ /^Connection: close/mi;
	die "$method $path: $status $rest\n" unless $may{$status};
	return ($status, $rest);
}

sub value { my $n = $next++; ($n % 30000 - 15000, int($n / 30000) % 28000) }

while (time < $end) {
	my $what = int rand 100;
	my ($status, $rest, @values);
	if ($what < 40) {
		my ($a, $b) = value();
		($status, $rest) = ask('POST', '/v1/records', "{\"values\":[$a,$b],\"tag\":$seed}") or last;
		print $acked "$1 $a $b\n" if $status == 200 && $rest =~ /"id":(\d+)/;
		$last = $1 if $status == 200;
	} elsif ($what < 55) {
		@values = map { [value()] } 1 .. 20;
		($status, $rest) = ask('POST', '/v1/vectors/batch-insert',
			'{"batch":[' . join(',', map { "[$_->[0],$_->[1]]" } @values) . ']}') or last;
		if ($status == 200) {
			my @ids = $rest =~ /(\d+)/g;
			print $acked map { "$ids[$_] $values[$_][0] $values[$_][1]\n" } 0 .. $#ids;
		}
	} elsif ($what < 65) {
		my ($a, $b) = value();
		my $at = defined $node ? ",\"attach_to_document_node\":$node" : '';
		($status, $rest) = ask('POST', '/v1/memory/upsert', "{\"vector\":[$a,$b],\"metadata\":{\"n\":$a}$at}") or last;
		if ($status == 200 && $rest =~ /"record_id":(\d+),"document_node_id":(\d+)/) {
			print $acked "$1 $a $b\n";
			$node = $2;
		}
	} elsif ($what < 70) {
		($status, $rest) = ask('POST', '/v1/memory/meta/set', "{\"key\":\"k$what\",\"value\":\"$next\"}") or last;
	} elsif ($what < 73 && defined $last) {
		($status, $rest) = ask('PATCH', "/v1/records/$last/metadata", "{\"n\":$next}") or last;
	} elsif ($what < 76) {
		($status, $rest) = ask('POST', '/v1/graph/node', '{"kind":1}') or last;
	} elsif ($what < 90) {
		my $more = $what == 76 ? ',"as_of_log_index":0' : $what == 77 ? ',"metadata_filter":{"n":5}' : '';
		($status, $rest) = ask('POST', '/v1/search', "{\"query\":[1,2],\"k\":5$more}") or last;
	} elsif ($what == 90) {
		($status, $rest) = ask('POST', '/v1/snapshot/save', '{}') or last;
	} elsif ($what == 91) {
		($status, $rest) = ask('GET', '/v1/snapshot/download') or last;
	} elsif ($what == 92) {
		($status, $rest) = ask('GET', '/v1/timeline') or last;
	} elsif ($what == 93 && defined $seconds && $seed == 1) {
		($status, $rest) = ask('POST', '/v1/snapshot/restore', '{"path":"snapshot.val"}') or last;
	} else {
		my @paths = qw(/health /metrics /v1/proof/state /v1/graph/subgraph?root=0 /v1/graph/nodes?limit=5 /v1/records/0);
		($status, $rest) = ask('GET', $paths[rand @paths]) or last;
	}
	undef $node if $status == 404;
}
