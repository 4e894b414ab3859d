# Counts words, keeps the lines in which each stands, and prints both in order.
use strict;
use warnings;

my (%count, %lines);
while (my $line = <STDIN>) {
    chomp $line;
    my @words = map { lc } split / /, $line;
    for my $word (@words) {
        $count{$word}++;
        push @{ $lines{$word} }, "$.:" . substr($line, 0, 24) if $. % 4 == 0;
    }
}
my @order = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
for my $word (@order) {
    my $places = $lines{$word} || [];
    printf "%s %d %s\n", $word, $count{$word}, join ',', grep { defined } @$places[0 .. 2];
}
