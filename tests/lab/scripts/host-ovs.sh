# Open vSwitch of a lab host: bridge ovsbr0 on the trunk; sourced by host-init.sh.
# The userspace datapath needs no kernel module. Its database is new at each boot: the ports of an earlier life are gone.
database=/run/openvswitch/conf.db
socket=/run/openvswitch/db.sock
ovsdb-tool create "$database" /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server "$database" --remote=punix:$socket --pidfile=/run/openvswitch/ovsdb-server.pid \
  -vconsole:off --log-file="$LAB_DIR/ovsdb-server.log" --detach --no-chdir
# Segmentation offload in userspace: without it guests with virtio's checksum offload can ping but not speak TCP.
ovs-vsctl --no-wait init -- set Open_vSwitch . other_config:userspace-tso-enable=true \
  external_ids:system-id="$LAB_NAME" external_ids:hostname="$LAB_NAME"
ovs-vswitchd unix:$socket --pidfile=/run/openvswitch/ovs-vswitchd.pid \
  -vconsole:off --log-file="$LAB_DIR/ovs-vswitchd.log" --detach --no-chdir
ovs-vsctl --timeout=20 add-br ovsbr0 -- set bridge ovsbr0 datapath_type=netdev -- add-port ovsbr0 trunk0
ip link set ovsbr0 up
