//! Consumer groups: requests and answers of the classic protocol, for the coordinator in `topics`.

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use weir_topics::groups::{
    GroupDescription, GroupError, GroupState, JoinRequest, Leaving, Membership, SyncRequest,
};

use super::reserved::check_group;
use super::{Kafka, code, text};

/// The one kind of group (KIP-848 has another).
const CLASSIC: &str = "classic";

fn owned(text: Option<StrBytes>) -> Option<String> {
    text.map(|text| text.to_string())
}

impl Kafka {
    /// Joins a group; answers when all members have.
    pub(super) async fn join_group(
        &self,
        request: JoinGroupRequest,
        version: i16,
        client_id: String,
        client_host: String,
    ) -> JoinGroupResponse {
        if let Err(code) = self.check_group(&request.group_id) {
            let mut refused = JoinGroupResponse::default()
                .with_error_code(code)
                .with_generation_id(-1)
                .with_member_id(request.member_id);
            // Null is allowed from version 7 on.
            refused.protocol_name = (version < 7).then(StrBytes::default);
            return refused;
        }
        let session_timeout_ms = request.session_timeout_ms;
        let member_id = request.member_id.to_string();
        let joined = self.groups.join(JoinRequest {
            group_id: request.group_id.to_string(),
            member_id: member_id.clone(),
            instance_id: owned(request.group_instance_id),
            client_id,
            client_host,
            session_timeout_ms,
            // Version 0 has one timeout for both.
            rebalance_timeout_ms: match version {
                0 => session_timeout_ms,
                _ => request.rebalance_timeout_ms,
            },
            protocol_type: request.protocol_type.to_string(),
            protocols: request
                .protocols
                .into_iter()
                .map(|protocol| (protocol.name.to_string(), protocol.metadata))
                .collect(),
            member_id_required: version >= 4,
        });
        let mut response = JoinGroupResponse::default();
        match joined.await {
            Ok(joined) => {
                response = response
                    .with_generation_id(joined.generation)
                    .with_protocol_name(Some(text(&joined.protocol)))
                    .with_leader(text(&joined.leader))
                    .with_member_id(text(&joined.member_id));
                if version >= 7 {
                    response.protocol_type = Some(text(&joined.protocol_type));
                }
                if version >= 9 {
                    response.skip_assignment = joined.skip_assignment;
                } else if joined.skip_assignment {
                    // A client that cannot be told to assign nothing is told that another member leads.
                    return response.with_leader(StrBytes::from_static_str("-"));
                }
                let members = joined.members.into_iter().map(|member| {
                    let mut response = JoinGroupResponseMember::default()
                        .with_member_id(text(&member.member_id))
                        .with_metadata(member.metadata);
                    if version >= 5 {
                        response.group_instance_id = member.instance_id.as_deref().map(text);
                    }
                    response
                });
                response.with_members(members.collect())
            }
            Err(error) => {
                response = response
                    .with_error_code(code::of_group(&error))
                    .with_generation_id(-1);
                // Null is allowed from version 7 on.
                response.protocol_name = (version < 7).then(StrBytes::default);
                let id = match &error {
                    GroupError::MemberIdRequired(id) => id.as_str(),
                    _ => member_id.as_str(),
                };
                response.with_member_id(text(id))
            }
        }
    }

    /// Hands out the leader's assignment; answers when the leader has given it.
    pub(super) async fn sync_group(
        &self,
        request: SyncGroupRequest,
        version: i16,
    ) -> SyncGroupResponse {
        if let Err(code) = self.check_group(&request.group_id) {
            return SyncGroupResponse::default().with_error_code(code);
        }
        let synced = self.groups.sync(SyncRequest {
            group_id: request.group_id.to_string(),
            member_id: request.member_id.to_string(),
            instance_id: owned(request.group_instance_id),
            generation: request.generation_id,
            protocol_type: owned(request.protocol_type),
            protocol: owned(request.protocol_name),
            assignments: request
                .assignments
                .into_iter()
                .map(|one| (one.member_id.to_string(), one.assignment))
                .collect(),
        });
        let response = SyncGroupResponse::default();
        match synced.await {
            Ok(synced) => {
                let mut response = response.with_assignment(synced.assignment);
                if version >= 5 {
                    response.protocol_type = Some(text(&synced.protocol_type));
                    response.protocol_name = Some(text(&synced.protocol));
                }
                response
            }
            Err(error) => response.with_error_code(code::of_group(&error)),
        }
    }

    /// Says that a member lives.
    pub(super) fn heartbeat(&self, request: &HeartbeatRequest) -> HeartbeatResponse {
        let heard = self.groups.heartbeat(&Membership {
            group_id: request.group_id.to_string(),
            member_id: request.member_id.to_string(),
            instance_id: owned(request.group_instance_id.clone()),
            generation: request.generation_id,
        });
        let code = heard.map_or_else(|error| code::of_group(&error), |()| code::NONE);
        HeartbeatResponse::default().with_error_code(code)
    }

    /// Lets members go.
    pub(super) fn leave_group(
        &self,
        request: &LeaveGroupRequest,
        version: i16,
    ) -> LeaveGroupResponse {
        let leaving: Vec<Leaving> = if version >= 3 {
            let members = request.members.iter();
            members
                .map(|member| Leaving {
                    member_id: member.member_id.to_string(),
                    instance_id: owned(member.group_instance_id.clone()),
                })
                .collect()
        } else {
            vec![Leaving {
                member_id: request.member_id.to_string(),
                instance_id: None,
            }]
        };
        let response = LeaveGroupResponse::default();
        // A static member is named by what its operator called it, which others may know.
        if let Err(code) = self.check_group(&request.group_id) {
            return response.with_error_code(code);
        }
        let left = match self.groups.leave(&request.group_id, &leaving) {
            Ok(left) => left,
            Err(error) => return response.with_error_code(code::of_group(&error)),
        };
        let code = |left: &Result<(), GroupError>| match left {
            Ok(()) => code::NONE,
            Err(error) => code::of_group(error),
        };
        if version < 3 {
            return response.with_error_code(left.first().map_or(code::NONE, code));
        }
        let members = leaving.iter().zip(&left).map(|(member, left)| {
            MemberResponse::default()
                .with_member_id(text(&member.member_id))
                .with_group_instance_id(member.instance_id.as_deref().map(text))
                .with_error_code(code(left))
        });
        response.with_members(members.collect())
    }

    /// Refuses changes of a group that is a sink's, or has read what the user may not.
    pub(super) fn check_group(&self, group_id: &str) -> Result<(), i16> {
        check_group(group_id)?;
        match self.may_read_all(group_id) {
            true => Ok(()),
            false => Err(code::GROUP_AUTHORIZATION_FAILED),
        }
    }

    /// Whether the user may read all topics that a group has read: a group belongs to who reads the same.
    fn may_read_all(&self, group_id: &str) -> bool {
        if self.is_admin() {
            return true;
        }
        let committed = self.groups.committed(group_id).into_iter();
        committed.map(|(topic, _, _)| topic).all(|topic| {
            // What was dropped is no secret any more.
            self.is_gone(topic)
                || self
                    .identified(topic.0)
                    .is_ok_and(|access| access.require_reading().is_ok())
        })
    }

    /// All groups, or those in some states.
    pub(super) fn list_groups(
        &self,
        request: &ListGroupsRequest,
        version: i16,
    ) -> ListGroupsResponse {
        let is_wanted = |state: GroupState| {
            let states = &request.states_filter;
            let same = |wanted: &StrBytes| wanted.eq_ignore_ascii_case(state.name());
            states.is_empty() || states.iter().any(same)
        };
        let types = &request.types_filter;
        let is_type = types.is_empty() || types.iter().any(|t| t.eq_ignore_ascii_case(CLASSIC));
        let groups = self.groups.list().into_iter();
        let groups = groups
            .filter(|group| is_type && is_wanted(group.state) && self.may_read_all(&group.group_id))
            .map(|group| {
                let mut listed = ListedGroup::default()
                    .with_group_id(text(&group.group_id).into())
                    .with_protocol_type(text(&group.protocol_type));
                if version >= 4 {
                    listed.group_state = text(group.state.name());
                }
                if version >= 5 {
                    listed.group_type = text(CLASSIC);
                }
                listed
            });
        ListGroupsResponse::default().with_groups(groups.collect())
    }

    /// Groups with their members.
    pub(super) fn describe_groups(
        &self,
        request: &DescribeGroupsRequest,
        version: i16,
    ) -> DescribeGroupsResponse {
        let groups = request.groups.iter().map(|group_id| {
            let group = self.groups.describe(group_id);
            if !self.may_read_all(group_id) {
                return DescribedGroup::default()
                    .with_group_id(group_id.clone())
                    .with_error_code(code::GROUP_AUTHORIZATION_FAILED);
            }
            let is_unknown = group.state == GroupState::Dead;
            let mut described = described(group, version).with_group_id(group_id.clone());
            if is_unknown && version >= 6 {
                // KIP-1043: earlier versions are told of a dead group.
                described.error_code = code::GROUP_ID_NOT_FOUND;
                let message = format!("group \"{}\" does not exist", group_id.as_str());
                described.error_message = Some(text(&message));
            }
            described
        });
        DescribeGroupsResponse::default().with_groups(groups.collect())
    }

    /// Forgets groups that have no members.
    pub(super) async fn delete_groups(&self, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
        let mut results = Vec::with_capacity(request.groups_names.len());
        for group_id in request.groups_names {
            let deleted = match self.check_group(&group_id) {
                Err(code) => Err(code),
                Ok(()) => self
                    .groups
                    .delete(&group_id)
                    .await
                    .map_err(|error| code::of_group(&error)),
            };
            let code = match deleted {
                Ok(()) => code::NONE,
                Err(code) => code,
            };
            results.push(
                DeletableGroupResult::default()
                    .with_group_id(group_id)
                    .with_error_code(code),
            );
        }
        DeleteGroupsResponse::default().with_results(results)
    }
}

fn described(group: GroupDescription, version: i16) -> DescribedGroup {
    let members = group.members.into_iter().map(|member| {
        let mut described = DescribedGroupMember::default()
            .with_member_id(text(&member.member_id))
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.client_host))
            .with_member_metadata(member.metadata)
            .with_member_assignment(member.assignment);
        if version >= 4 {
            described.group_instance_id = member.instance_id.as_deref().map(text);
        }
        described
    });
    DescribedGroup::default()
        .with_group_state(text(group.state.name()))
        .with_protocol_type(text(&group.protocol_type))
        .with_protocol_data(text(&group.protocol))
        .with_members(members.collect())
}
