#!/usr/bin/perl
# leader.pl - an HTTP server that says what a test wants: a leader, good or bad.
#
#	leader.pl DIRECTORY
#
# Listens on a free port of 127.0.0.1 and writes the port to DIRECTORY/port. For each request METHOD PATH?QUERY it runs
# DIRECTORY/answer with the method, the path, the query, and its headers in the environment (HTTP_ACCEPT, ...): what that
# prints is sent as it is. One process for each connection, one request on each.
use strict;
use warnings;
use IO::Socket::INET;

my $directory = shift;
setpgrp; # it ends with all that it has started: kill -- -PID
my $server = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', ReuseAddr => 1) or die "listen: $!";
open my $port, '>', "$directory/port.new" or die $!;
print $port $server->sockport, "\n";
close $port;
rename "$directory/port.new", "$directory/port";
$SIG{CHLD} = 'IGNORE';
while (1) {
	my $client = $server->accept or next;
	next if fork;
	my $line = <$client> // exit;
	my ($method, $path, $query) = $line =~ m{^(\S+) ([^? ]*)\??(\S*)} or exit;
	while (my $header = <$client>) {
		last if $header =~ /^\r?\n$/;
		my ($name, $value) = $header =~ /^([^:]+):\s*(.*?)\r?\n/ or next;
		$ENV{"HTTP_" . uc($name =~ tr/-/_/r)} = $value;
	}
	open STDOUT, '>&', $client;
	exec "$directory/answer", $method, $path, $query;
}
