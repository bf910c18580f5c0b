#!/usr/bin/perl
# embed.pl - text to vectors, for the demo: a hashed bag of words, word pairs and letter trigrams.
#
# Honest about what it is: no model, no training, no meaning. Two texts are near when they share words and pieces of
# words. It is deterministic, needs nothing but perl-base, and is good enough to find a paragraph by a question. For real
# work put a real embedding model in its place: the line format stays the same.
#
# usage: embed.pl [-d DIM] FILE...      paragraphs of the files (gzip'ed ones too) as NDJSON rows: key, vector, metadata
#        embed.pl [-d DIM] -q TEXT      one JSON array: the vector of TEXT
use strict;
use warnings;
use integer;

my $dim = 256;
my $query;
while (@ARGV && $ARGV[0] =~ /^-([dq])$/) {
	shift;
	$1 eq 'd' ? ($dim = shift) : ($query = shift);
}

my %stop = map { $_ => 1 } qw(a an and any are as at be by for from has have how i if in is it its may must no not of on or
    other shall should such than that the their then there these they this to under was what when where which who will
    with without you your do does can could all each more only same so one use used using);

# FNV-1a, 32 bits: which component a feature counts in, and with which sign.
sub slot {
	my $hash = 2166136261;
	$hash = (($hash ^ ord) * 16777619) & 0xffffffff for split //, $_[0];
	return ($hash % $dim, ($hash >> 31) & 1 ? -1 : 1);
}

sub embed {
	my ($text) = @_;
	my (%count, $last);
	for my $word (lc($text) =~ /[a-z0-9_]+/g) {
		next if $stop{$word};
		$count{$word} += 3;
		$count{"$last $word"} += 2 if defined $last;
		my $padded = "<$word>";
		$count{substr $padded, $_, 3} += 1 for 0 .. length($padded) - 3;
		$last = $word;
	}
	no integer;
	my @vector = (0) x $dim;
	for my $feature (sort keys %count) {    # sorted: the sum must not depend on perl's hash order
		my ($index, $sign) = slot($feature);
		$vector[$index] += $sign * sqrt $count{$feature};
	}
	my $norm = 0;
	$norm += $_ * $_ for @vector;
	return undef if $norm == 0;
	$norm = sqrt $norm;
	return '[' . join(',', map { $_ == 0 ? '0' : sprintf '%.6g', $_ / $norm } @vector) . ']';
}

sub quote {
	my ($text) = @_;
	$text =~ s/(["\\])/\\$1/g;
	$text =~ s/([\x00-\x1f\x7f-\xff])/sprintf '\\u%04x', ord $1/ge;
	return "\"$text\"";
}

# Manual pages: the words without the requests. Enough for the demo, no formatter.
sub plain {
	my ($line) = @_;
	return '' if $line =~ /^[.'](\\"|TH|Dd|Dt|Os|if|ie|el|de|ds|nr|so|\.)/;
	return '' if $line =~ /^[.'](P|PP|LP|Pp|SH|SS|Sh|Ss|TP|IP|It|El|Bl|br|sp)\b/;
	$line =~ s/^[.']\w+ ?//;
	$line =~ s/\\f[A-Z0-9]|\\f\([A-Z]{2}|\\s[-+]?\d|\\&|\\c//g;
	$line =~ s/\\\(..|\\\[..\]/ /g;
	$line =~ s/\\-/-/g;
	$line =~ s/\\e/\\/g;
	return $line;
}

if (defined $query) {
	my $vector = embed($query);
	defined $vector or die "embed.pl: the text has no words\n";
	print "$vector\n";
	exit 0;
}

for my $path (@ARGV) {
	my $zipped = $path =~ /\.gz$/;
	open my $in, '-|', $zipped ? ('gzip', '-dc', $path) : ('cat', $path) or die "embed.pl: $path: $!\n";
	(my $name = $path) =~ s{.*/}{};
	$name =~ s/\.gz$//;
	my $is_manual = $name =~ /\.[1-8]\w*$/;
	my ($number, @paragraph) = (0);
	my $flush = sub {
		(my $text = join ' ', @paragraph) =~ s/\s+/ /g;
		@paragraph = ();
		$text =~ s/^ | $//g;
		return if length $text < 80;
		$text = substr $text, 0, 1000;
		my $vector = embed($text) // return;
		$number++;
		print "{\"key\":", quote("$name#$number"), ",\"metadata\":", quote($text), ",\"vector\":$vector}\n";
	};
	while (my $line = <$in>) {
		chomp $line;
		$line = plain($line) if $is_manual;
		if ($line =~ /\S/) { push @paragraph, $line }
		else { $flush->() }
	}
	$flush->();
	close $in;
}
