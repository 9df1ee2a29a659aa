#!/bin/sh
# What busybox's DHCP client calls.
case $1 in
deconfig)
  ip addr flush dev "$interface"
  ip link set "$interface" up
  ;;
bound | renew)
  ip addr flush dev "$interface"
  ip addr add "$ip/${mask:-24}" dev "$interface"
  [ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
  if [ -n "$router" ]; then
    ip route del default dev "$interface" 2>/dev/null
    ip route add default via "${router%% *}" dev "$interface" metric $((100 + $(cat "/sys/class/net/$interface/ifindex")))
  fi
  if [ -n "$dns" ]; then
    { [ -n "$domain" ] && echo "search $domain"; for server in $dns; do echo "nameserver $server"; done; } >/etc/resolv.conf
  fi
  echo "tinyguest: $interface $ip" >/dev/console
  ;;
esac
